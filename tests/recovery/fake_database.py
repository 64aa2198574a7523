"""A database of a broker in memory: messages, locks and the records of runs."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from queue_recovery.api.select import PurgeSelect
from queue_recovery.diagnosis.evidence import MessageFacts
from queue_recovery.diagnosis.stuck_evidence import Sighting
from queue_recovery.recovery.ports import Consumer, Holder, MessageName, Restore, Restored, Run, SeenJob, Task
from tests.recovery.faults import Faults

TASK = "tts.render"
QUARANTINE = "quarantine of"


@dataclass(frozen=True)
class Message:
    """A message of a queue."""

    task_id: str
    task: str = TASK

    @property
    def name(self) -> MessageName:
        """The message as people see it."""
        return MessageName(task_id=self.task_id, task=self.task)

    def matches(self, select: PurgeSelect | None) -> bool:
        """Tell whether a selection takes this message."""
        if select is None:
            return True
        return (select.tasks is None or self.task in select.tasks) and (
            select.task_ids is None or self.task_id in select.task_ids
        )


@dataclass
class Record:
    """What the broker stores of a run of one queue."""

    state: Literal["preparing", "purged", "closed"] = "preparing"
    was_purged: bool = False
    ready: list[Message] = field(default_factory=list)
    unacked: list[Message] = field(default_factory=list)
    took_any: bool = False
    """Whether a message was taken, though it may have been put back."""
    left_ids: frozenset[str] = frozenset()
    left: int = 0
    seen: dict[str, SeenJob | None] = field(default_factory=dict)
    pushed: dict[str, Task] = field(default_factory=dict)
    restored: Restored | None = None
    redelivered: int = 0
    lost: int = 0
    """Messages that the broker has lost while they were sorted."""
    expires: datetime | None = None
    retain: bool | None = None
    """Whether the quarantine was retained at the release; None: it was not released."""

    @property
    def quarantine(self) -> list[Message]:
        """The messages in the quarantine."""
        return [*self.ready, *self.unacked]


class FakeDatabase(Faults):
    """Lists of messages by queue, those that workers hold, and what the broker stores of runs."""

    def __init__(self, log: list[str] | None = None) -> None:
        """Begin with an empty database."""
        super().__init__(log)
        self.queues: dict[str, list[Message]] = {}
        self.held_by_workers: dict[str, list[Message]] = {}
        self.locks: dict[str, Holder] = {}
        self.records: dict[str, Record] = {}
        """By the uid of the run."""
        self.sightings: dict[str, list[Sighting]] = {}
        """What a look at a target sees of the messages that workers hold, by queue."""
        self.uptime_seconds: int | None = 10**8
        self.facts: list[MessageFacts] = []
        """What the headers of messages say of their past, as every count returns it."""
        self.delivered: dict[str, float] = {}
        """When messages that workers hold were delivered, by task id; others have no time."""
        self.looks = 0
        self.is_consumed = True
        """Whether a message is delivered between two looks at the queues' ends."""
        self.connections: list[Consumer] | None = []
        self.frozen: list[str] = []
        """The keys of the frozen jobs, as the last `take` named them."""

    def add(
        self,
        *task_ids: str,
        queue: str = "tts",
        task: str = TASK,
        held: bool = False,
        delivered: datetime | None = None,
    ) -> None:
        """Enqueue messages; with `held`, or the time of their delivery, a worker holds them in `unacked`."""
        lists = self.held_by_workers if held or delivered is not None else self.queues
        if delivered is not None:
            self.delivered |= dict.fromkeys(task_ids, delivered.timestamp())
        lists.setdefault(queue, []).extend(Message(task_id, task) for task_id in task_ids)

    def queued(self, queue: str = "tts") -> list[str]:
        """Return the task ids in a queue's list, the oldest first."""
        return [message.task_id for message in self.queues.get(queue, [])]

    def lock(self, run: Run) -> None:
        """Let a recovery hold the lock of a queue."""
        self.locks[run.queue] = Holder(
            uid=run.uid.partition("/")[0],
            name=run.name,
            run=run.uid,
            cluster=run.cluster,
            cluster_uid=run.cluster_uid,
            retention_seconds=run.retention_seconds,
            lock=f"lock of {run.queue}",
            quarantine=f"{QUARANTINE} {run.uid}",
        )

    def lose_data(self) -> None:
        """Lose everything, as a server without persistence does when it is restarted."""
        for stored in (self.queues, self.held_by_workers, self.locks, self.records):
            stored.clear()

    def restored_by(self, restore: Restore) -> list[Message]:
        """Return the messages that a restore would put back."""
        quarantine = self.records[restore.uid].quarantine
        return [one for one in quarantine if restore.task_ids is None or one.task_id in restore.task_ids]

    def called(self, method: str) -> None:
        """Record a call of a run."""
        self._called(method)
