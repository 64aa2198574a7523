"""Messages as a Celery application would have sent them, built by Celery and kombu, without application or broker.

Protocol 2 (`celery/app/amqp.py`: `as_task_v2`), in the form that kombu's virtual transports write
(`kombu/transport/virtual/base.py`: `basic_publish`), through the one method that a transport has to provide.
"""

import json

from celery import Celery
from kombu.connection import Connection
from kombu.serialization import dumps as serialize
from kombu.transport import virtual
from kombu.utils.json import dumps
from typing_extensions import override

from queue_recovery.recovery.ports import Task

_PRIORITY = 0
"""Celery's default; consumed first."""

_PERSISTENT = 2
"""`task_default_delivery_mode` of Celery, as AMQP counts."""


class _Outbox(virtual.Channel):
    """A channel that keeps what is published, in the bytes that the Redis transport would LPUSH."""

    do_restore = False
    published: bytes

    @override
    def _put(self, queue: str, message: object) -> None:
        del queue
        text: str = dumps(message)  # type: ignore[no-untyped-call]
        self.published = text.encode()


class _Transport(virtual.Transport):
    Channel = _Outbox


class Publisher:
    """Builds messages, about 20,000 a second."""

    def __init__(self) -> None:
        """Prepare a Celery application of its own, which never becomes the process's current one."""
        self._amqp = Celery(set_as_current=False).amqp
        self._channel = Connection(transport=_Transport).channel()  # type: ignore[no-untyped-call]

    def message(self, queue: str, task: Task) -> bytes:
        """Return a new message of a task: its own id and root, no retries, a delivery tag of its own.

        `ignore_result` is null, so that the task's own setting holds; false would override it.
        """
        message = self._amqp.as_task_v2(
            task.task_id,
            task.task,
            json.loads(task.args),
            json.loads(task.kwargs),
            ignore_result=None,
            origin="queue-recovery",
        )
        content_type, content_encoding, body = serialize(message.body, "json")  # type: ignore[no-untyped-call]
        self._channel.basic_publish(
            self._channel.prepare_message(
                body,
                priority=_PRIORITY,
                content_type=content_type,
                content_encoding=content_encoding,
                headers=message.headers,
                properties={**message.properties, "delivery_mode": _PERSISTENT},
            ),
            exchange="",
            routing_key=queue,
        )
        published: bytes = self._channel.published
        return published
