"""The other side of the broker: what a Celery application and its workers do to it, done by kombu itself."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from redis.asyncio import Redis

from queue_recovery.api.select import PurgeSelect
from queue_recovery.recovery.ports import Restore, Run, SeenJob, Task

SEP = "\x06\x16"

State = Mapping[bytes, object]


class Application:
    """One connection of kombu."""

    def __init__(self, connection: Connection) -> None:
        """Work on this connection."""
        self._connection = connection
        self.channel = connection.channel()  # type: ignore[no-untyped-call]

    @classmethod
    @contextmanager
    def connected(cls, url: str, **transport_options: object) -> Iterator[Self]:
        """Connect with these `broker_transport_options`."""
        connection = Connection(url, transport_options=transport_options)  # type: ignore[no-untyped-call]
        application = cls(connection)
        try:
            yield application
        finally:
            application.disappear()
            connection.release()  # type: ignore[no-untyped-call]

    def enqueue(self, queue: str, *ids: str, priority: int = 0) -> None:
        """Enqueue messages, the first one first."""
        self.publish("", queue, *ids, priority=priority)

    def publish(self, exchange: str, routing_key: str, *ids: str, priority: int = 0) -> None:
        """Publish messages to an exchange."""
        for name in ids:
            message = self.channel.prepare_message(
                "W1tdLCB7fSwge31d",
                priority=priority,
                content_type="application/json",
                content_encoding="utf-8",
                headers={"id": name, "task": "tts.render", "padding": "x" * 100},
                properties={"correlation_id": name},
            )
            self.channel.basic_publish(message, exchange, routing_key)

    def send(
        self,
        queue: str,
        name: str,
        *,
        task: str = "tts.render",
        retries: int = 0,
        serializer: str = "json",
        compression: str | None = None,
        priority: int = 0,
        exchange: str = "",
    ) -> None:
        """Send a message as Celery does, with a body that was really made so."""
        self._connection.Producer(self.channel, auto_declare=False).publish(  # type: ignore[no-untyped-call]
            [[name], {}, {}],
            routing_key=queue,
            exchange=exchange,
            serializer=serializer,
            compression=compression,
            priority=priority,
            headers={"id": name, "task": task, "retries": retries},
            correlation_id=name,
        )

    def bind(self, queue: str, exchange: str, kind: str, routing_key: str) -> None:
        """Declare a queue that is bound to an exchange."""
        Queue(queue, Exchange(exchange, kind), routing_key=routing_key).bind(self.channel).declare()  # type: ignore[no-untyped-call]

    def hold(self, queue: str, count: int) -> list[str]:
        """Take messages as a worker does before it runs them, and keep them unacknowledged; returns their ids."""
        return [self.channel.basic_get(queue).headers["id"] for _ in range(count)]

    def give_back(self, tag: str) -> None:
        """Put a held message back, by its delivery tag, as a worker does that stops or retries."""
        self.channel.qos.restore_by_tag(tag)

    def restore_visible(self, count: int | None = None) -> None:
        """Put messages back whose visibility timeout has passed, as every worker does now and then."""
        self.channel.qos.restore_visible(num=count, interval=1)

    def consume(self, queue: str) -> list[str]:
        """Consume a queue to its end, acknowledging; returns the messages' ids in their order."""
        ids = []
        while (message := self.channel.basic_get(queue)) is not None:
            ids.append(message.headers["id"])
            self.channel.basic_ack(message.delivery_tag)
        return ids

    def disappear(self) -> None:
        """Forget what is held without giving it back, as a worker does that is killed."""
        self.channel.qos._delivered.clear()
        self.channel.do_restore = False


def recovery(queue: str, *, cluster: str = "this-cluster", select: PurgeSelect | None = None) -> Run:
    """Return a new recovery of a queue."""
    return Run(
        uid=str(uuid.uuid4()),
        name="media/tts-wrong-shape",
        cluster=cluster,
        cluster_uid=f"uid of {cluster}",
        queue=queue,
        select=select,
    )


def recovery_of(*queues: str, select: PurgeSelect | None = None) -> list[Run]:
    """Return a new recovery of several queues: a run for each."""
    uid = uuid.uuid4()
    return [replace(recovery(queue, select=select), uid=f"{uid}/{queue}", name="media/everything") for queue in queues]


def seen_jobs(*task_ids: str, recoverable: bool = True) -> dict[str, SeenJob]:
    """Return what jobs of these task ids looked like, by keys, as `freeze` takes it."""
    return {
        f"{n}:str:{one}": SeenJob(status="failed", task_id=one, recoverable=recoverable)
        for n, one in enumerate(task_ids)
    }


def selecting(**fields: object) -> Run:
    """Return a new recovery of a part of the queue `tts`."""
    return recovery("tts", select=PurgeSelect.model_validate(fields))


def restoring(earlier: Run, *, task_ids: Collection[str] | None = None, as_new: bool = False) -> Run:
    """Return a new recovery that puts messages of an earlier one back."""
    restore = Restore(uid=earlier.uid, task_ids=None if task_ids is None else frozenset(task_ids), as_new=as_new)
    return replace(recovery(earlier.queue), restore=restore)


def tasks(count: int) -> list[Task]:
    """Return jobs ready to be enqueued."""
    return [
        Task(key=f"{n}:int:{n}", task_id=f"new-{n}", task="tts.render", args=f"[{n}]", kwargs="{}")
        for n in range(count)
    ]


async def everything(redis: Redis, *, without: Sequence[str] = ()) -> State:
    """Return all that the database holds, but for keys that begin so."""
    state: dict[bytes, object] = {}
    for key in await redis.keys():
        assert isinstance(key, bytes)
        if key.decode().startswith(tuple(without)):
            continue
        match await redis.type(key):
            case b"list":
                state[key] = await redis.lrange(key, 0, -1)
            case b"hash":
                state[key] = await redis.hgetall(key)
            case b"zset":
                state[key] = await redis.zrange(key, 0, -1, withscores=True)
            case b"set":
                state[key] = await redis.smembers(key)
            case _:
                state[key] = await redis.get(key)
    return state
