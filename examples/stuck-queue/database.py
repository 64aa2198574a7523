"""The application's MongoDB database `app`."""

import functools
import os
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database


@functools.cache
def app() -> Database[dict[str, Any]]:
    """Return the database; connected on first use, because a client must not cross the fork of a Celery worker."""
    return MongoClient(os.environ["MONGO_URL"], connect=False)["app"]
