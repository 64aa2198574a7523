"""The Celery application whose workers the end-to-end tests recover: it writes down every run of every task."""

import os
import time
from typing import Any

from celery import Celery
from redis import Redis

URL = os.environ["BROKER_URL"]

app = Celery("work", broker=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=4,
    task_default_queue="work",
    broker_transport_options={"visibility_timeout": 3600},
)
ran = Redis.from_url(URL)


@app.task(name="work.run", bind=True, max_retries=None)  # type: ignore[untyped-decorator]  # Celery has no types
def run(self: Any, job_id: str, shape: object = "good") -> None:  # noqa: ANN401
    """Fail indefinitely for a shape that is not text, as a wrong data shape does."""
    # The run is what tests wait for, so it is written last.
    ran.hset("image of task", self.request.id, os.environ.get("IMAGE", ""))
    ran.rpush(f"ran:{job_id}", self.request.id)
    try:
        len(shape + "!")  # type: ignore[operator]
    except TypeError as error:
        raise self.retry(exc=error, countdown=1) from error


@app.task(name="work.wait")  # type: ignore[untyped-decorator]  # Celery has no types
def wait(seconds: float) -> None:
    """Keep its worker busy, also when it is told to end."""
    time.sleep(seconds)
