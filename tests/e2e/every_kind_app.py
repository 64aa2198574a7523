"""Two Celery applications on one database, whose workers of every kind the tests recover.

`work` has the queue that is recovered, bound to a topic exchange; every run of a task is written to the list `ran`.
`mail` has another queue; its workers give back what anybody has held for longer than a second, several times a second.
"""

import json
import os
import time
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.signals import worker_ready
from kombu.entity import Exchange, Queue
from redis import Redis

URL = os.environ.get("BROKER_URL", "")
WORKER = uuid4().hex
"""Names the worker: processes that it forks have the same one."""


def queue_of(name: str) -> Queue:
    """Return an application's queue. Both are bound to one exchange, so that each worker knows that it is a topic one.

    A sweep by a worker that has not declared the exchange loses what it gives back: kombu takes it for a direct one
    (`kombu/transport/virtual/base.py`: `typeof`), finds no queue, and drops the message. So does every worker's first
    sweep, which comes before it declares anything.
    """
    return Queue(name, Exchange("jobs", "topic"), routing_key=f"{name}.#")  # type: ignore[no-untyped-call]


def application(url: str) -> Celery:
    """Return the application whose queue is recovered, as its workers and its producers have it."""
    made = Celery("work", broker=url, set_as_current=False)
    made.conf.update(
        broker_connection_retry_on_startup=True,
        task_queues=[queue_of("work")],
        task_default_queue="work",
        worker_prefetch_multiplier=4,
    )
    return made


work = application(URL)
mail = Celery("mail", broker=URL, set_as_current=False)
mail.conf.update(
    broker_connection_retry_on_startup=True,
    task_queues=[queue_of("mail")],
    task_default_queue="mail",
    broker_transport_options={
        "visibility_timeout": 1,
        "unacked_restore_interval": 0.3,
        "unacked_restore_throttle": 1,
    },
)


@worker_ready.connect  # type: ignore[untyped-decorator]  # Celery has no types
def started(sender: Any, **_: object) -> None:  # noqa: ANN401
    """Tell which worker it is, and of which application."""
    with Redis.from_url(URL) as redis:
        redis.rpush(f"started:{sender.app.main}", WORKER)


def tell(request: Any, event: str, job: str) -> None:  # noqa: ANN401
    """Write down what becomes of a task."""
    with Redis.from_url(URL) as redis:
        line = {"worker": WORKER, "event": event, "job": job, "id": request.id, "at": time.time()}
        redis.rpush("ran", json.dumps({**line, "again": request.delivery_info["redelivered"]}))


def render(self: Any, job: str, shape: object = "good") -> None:  # noqa: ANN401
    """Fail indefinitely for a shape that is not text, as a wrong data shape does."""
    tell(self.request, "began", job)
    try:
        len(shape + "!")  # type: ignore[operator]
    except TypeError as error:
        raise self.retry(exc=error, countdown=0.5) from error


def hold(self: Any, job: str) -> None:  # noqa: ANN401
    """Go on until the workers are being stopped, and for a while longer."""
    tell(self.request, "began", job)
    with Redis.from_url(URL, socket_timeout=None) as redis:
        redis.xread({"stopping": "0"}, block=0)
    time.sleep(0.5)  # the task's own work
    tell(self.request, "ended", job)


for late in (False, True):
    for task in (render, hold):
        name = f"work.{task.__name__}{'_late' if late else ''}"
        work.task(task, name=name, bind=True, max_retries=None, acks_late=late)


@mail.task(name="mail.send", bind=True)  # type: ignore[untyped-decorator]
def send(self: Any, letter: str) -> None:  # noqa: ANN401
    """Send a letter."""
    tell(self.request, "sent", letter)
