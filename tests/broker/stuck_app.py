"""A Celery application whose tasks do what makes queues look stuck, or be stuck."""

import os
import signal
import time

from celery import Celery, Task
from celery.exceptions import Reject
from redis import Redis

url = os.environ.get("BROKER_URL", "")
app = Celery("app", broker=url, backend=url)
app.conf.task_default_queue = "tts"
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_transport_options = {
    "visibility_timeout": int(os.environ.get("VISIBLE_SECONDS", "3600")),
    "unacked_restore_interval": 1,  # by default a worker looks for messages that are visible again every 100 s
    "unacked_restore_throttle": 1,
}


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


TRACKED = {"acks_late": True, "track_started": True, "ignore_result": False}


@app.task(name="tts.tracked", **TRACKED)  # type: ignore[untyped-decorator]
def tracked(seconds: float) -> None:
    """Take long, and have it stored which process runs it."""
    time.sleep(seconds)


@app.task(name="tts.tracked_early", track_started=True, ignore_result=False)  # type: ignore[untyped-decorator]
def tracked_early(seconds: float) -> None:
    """Do the same, and be acknowledged before."""
    time.sleep(seconds)


@app.task(name="tts.tracked_again", bind=True, max_retries=None, reject_on_worker_lost=True, **TRACKED)  # type: ignore[untyped-decorator]
def tracked_again(self: Task, *, how: str) -> None:
    """Take no time, and be run again and again, or as another task."""
    time.sleep(0.2)
    if how == "by a retry":
        raise self.retry(countdown=0)
    if how == "because its child process is lost":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "as another task":
        raise self.replace(short.si())
    raise Reject(requeue=True)


@app.task(name="tts.slow")  # type: ignore[untyped-decorator]
def slow() -> None:
    """Take longer than it takes to enqueue it."""
    time.sleep(0.2)


@app.task(name="tts.deadly", acks_late=True)  # type: ignore[untyped-decorator]
def deadly() -> None:
    """Kill the process that runs it, as the kernel does to one that is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="tts.released")  # type: ignore[untyped-decorator]
def released() -> None:
    """Run until the test lets this worker go on."""
    with Redis.from_url(url) as redis:
        redis.blpop([os.environ["RELEASED_BY"]], timeout=600)
