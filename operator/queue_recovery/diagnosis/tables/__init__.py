"""What is known of the exceptions of libraries: one table for each. Pure."""

from collections.abc import Sequence
from typing import Final

from queue_recovery.diagnosis.tables import (
    botocore_,
    celery_,
    google_,
    httpx_,
    kombu_,
    psycopg_,
    pymongo_,
    python,
    redis_,
    requests_,
    urllib3_,
)
from queue_recovery.diagnosis.tables.table import Table

TABLES: Final[Sequence[Table]] = (
    python.TABLE,
    requests_.TABLE,
    httpx_.TABLE,
    urllib3_.TABLE,
    redis_.TABLE,
    pymongo_.TABLE,
    psycopg_.PSYCOPG,
    psycopg_.PSYCOPG2,
    botocore_.TABLE,
    google_.TABLE,
    celery_.TABLE,
    kombu_.TABLE,
)
"""Rules are tried by the class of an exception, so the order of the tables does not matter."""
