"""Build messages as a Celery application sends them, with Celery and kombu but without an application or a broker.

Protocol 2 (`celery/app/amqp.py`: `as_task_v2`), in the form that kombu's virtual transports write
(`kombu/transport/virtual/base.py`: `basic_publish`), through the one method that a transport must implement.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

import orjson
from celery import Celery
from celery.utils.saferepr import saferepr
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
    """A channel that stores what is published, in the bytes that the Redis transport would LPUSH."""

    do_restore = False
    published: bytes

    @override
    def _put(self, queue: str, message: object) -> None:
        del queue
        text: str = dumps(message)  # type: ignore[no-untyped-call]
        self.published = text.encode()


class _Transport(virtual.Transport):
    Channel = _Outbox


_SHOWN = {"[]": "()", "{}": "{}"}
"""How Celery shows empty arguments in `argsrepr` and `kwargsrepr`."""

_NOT_SHOWN = "..."
"""What Celery shows of what is nested deeply."""


@dataclass(frozen=True)
class _Template:
    """What all messages of one task to one queue have in common."""

    envelope: Mapping[str, object]
    headers: Mapping[str, object]
    properties: Mapping[str, object]
    options: str
    """The third part of a body, after args and kwargs, as JSON text."""


class Publisher:
    """Builds about 50,000 messages a second: Celery builds the first one of a task, the template of the rest."""

    def __init__(self) -> None:
        """Prepare a Celery application of its own, which never becomes the process's current one."""
        app = Celery(set_as_current=False)
        self._amqp = app.amqp
        self._shown_levels = app.conf.task_repr_maxlevels
        self._channel = Connection(transport=_Transport).channel()  # type: ignore[no-untyped-call]
        self._templates: dict[tuple[str, str], _Template] = {}

    def message(self, queue: str, task: Task) -> bytes:
        """Return a new message of a task, with the task's id, no retries and a new delivery tag.

        Its arguments are the unchanged text of the job's.
        """
        template = self._templates.get((queue, task.task))
        if template is None:
            template = self._templates[queue, task.task] = self._template(queue, task)
        arguments = {"argsrepr": self._shown(task.args), "kwargsrepr": self._shown(task.kwargs)}
        body = f"[{task.args}, {task.kwargs}, {template.options}]"
        return orjson.dumps(
            {
                **template.envelope,
                "body": base64.b64encode(body.encode()).decode(),
                "headers": {**template.headers, "id": task.task_id, "root_id": task.task_id, **arguments},
                "properties": {**template.properties, "correlation_id": task.task_id, "delivery_tag": str(uuid4())},
            }
        )

    def made_by_celery(self, queue: str, task: Task) -> bytes:
        """Return the same message as Celery itself builds it, a third as fast.

        `ignore_result` is null, so that the task's own setting applies; false would override it.
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

    def _template(self, queue: str, task: Task) -> _Template:
        # Without the arguments, which may be nested as deeply as they can be read and no deeper.
        envelope = json.loads(self.made_by_celery(queue, replace(task, args="[]", kwargs="{}")))
        *_, options = json.loads(base64.b64decode(envelope["body"]))
        return _Template(envelope, envelope["headers"], envelope["properties"], json.dumps(options))

    def _shown(self, arguments: str) -> str:
        """Return arguments as Celery shows them to people (`argsrepr`), a lone surrogate as a question mark.

        No task depends on this text, so arguments that are nested too deeply to be read again are not shown.
        """
        if arguments in _SHOWN:
            return _SHOWN[arguments]
        try:
            parsed = json.loads(arguments)
        except RecursionError:
            return _NOT_SHOWN
        shown: str = saferepr(parsed, self._amqp.argsrepr_maxsize, maxlevels=self._shown_levels)
        return shown.encode(errors="replace").decode()
