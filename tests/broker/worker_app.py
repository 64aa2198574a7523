"""A Celery application whose only task writes down what it was called with."""

import json
import os

from celery import Celery, Task
from redis import Redis

url = os.environ["BROKER_URL"]
app = Celery("app", broker=url, backend=url)
app.conf.task_default_queue = "tts"
app.conf.broker_connection_retry_on_startup = True


@app.task(name="tts.render", bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def render(self: Task, *args: object, **kwargs: object) -> str:
    """Write the call down, and how Celery delivered it."""
    request = self.request
    call = {
        "args": args,
        "kwargs": kwargs,
        "id": request.id,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "correlation_id": request.correlation_id,
        "retries": request.retries,
        "ignore_result": request.ignore_result,
        "redelivered": request.delivery_info["redelivered"],
        "priority": request.delivery_info["priority"],
        "routing_key": request.delivery_info["routing_key"],
    }
    with Redis.from_url(url) as redis:
        redis.rpush("calls", json.dumps(call))
    return "done"


@app.task(name="tts.forget", ignore_result=True)  # type: ignore[untyped-decorator]
def forget() -> str:
    """Do nothing, and leave no result."""
    with Redis.from_url(url) as redis:
        redis.rpush("calls", json.dumps({"forgot": True}))
    return "not to be stored"
