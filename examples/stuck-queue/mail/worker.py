"""The worker: `celery -A mail.worker worker -Q mail`. Each delivery is a document in `deliveries`."""

import datetime as dt
import os

import database
from celery import Celery

app = Celery("mail", broker=os.environ["REDIS_URL"])
app.conf.task_default_queue = "mail"
app.conf.task_ignore_result = True


@app.task(name="mail.deliver")
def deliver(number: int) -> None:
    """Deliver one mail."""
    database.app().deliveries.insert_one({"mail": number, "at": dt.datetime.now(dt.UTC)})
