"""A Celery application whose tasks do what makes queues look stuck, or be stuck."""

import os
import time

from celery import Celery, Task

url = os.environ.get("BROKER_URL", "")
app = Celery("app", broker=url)
app.conf.task_default_queue = "tts"
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1


@app.task(name="tts.retried_indefinitely", bind=True, max_retries=None)  # type: ignore[untyped-decorator] # Celery has no types
def retried(self: Task) -> None:
    """Fail with a `TypeError`, and be retried at once, indefinitely."""
    try:
        len(None)  # type: ignore[arg-type]
    except TypeError as error:
        raise self.retry(countdown=0.05) from error


@app.task(name="tts.long")  # type: ignore[untyped-decorator]
def long(seconds: float) -> None:
    """Take long."""
    time.sleep(seconds)


@app.task(name="tts.short")  # type: ignore[untyped-decorator]
def short() -> None:
    """Take no time."""


@app.task(name="tts.late", acks_late=True)  # type: ignore[untyped-decorator]
def late(seconds: float) -> None:
    """Take long, and be acknowledged afterwards only."""
    time.sleep(seconds)
