"""A target that proposes recoveries, over the looks of one process and the next, in memory."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.stuck import QueueStuck
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.proposals import CheckedTarget, Proposals
from queue_recovery.controller.recovery_outline import RecoveryOutline, outline_of
from queue_recovery.controller.stuck_watch import StuckWatch
from queue_recovery.controller.target_check import check_target
from queue_recovery.controller.target_events import Announcer
from queue_recovery.diagnosis.evidence import MessageFacts
from queue_recovery.diagnosis.stuck_evidence import Sighting
from queue_recovery.workers.permissions import ServiceAccount
from tests.recovery.fakes import NOW, FakeEnvironment, target

HOUR = timedelta(hours=1)


class Death(BaseException):
    """The process ends here."""


@dataclass
class FakeWriter:
    """The API server's recoveries."""

    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    account: ServiceAccount = field(default_factory=ServiceAccount)
    before: Callable[[str], None] = lambda _: None
    """Called with the name of each call before it has an effect; what it raises prevents that."""
    after: Callable[[str], None] = lambda _: None
    """The same once it has it: the answer is lost."""
    created: list[str] = field(default_factory=list)

    async def create(self, namespace: str, body: Mapping[str, Any]) -> bool:
        self.before("create")
        name = body["metadata"]["name"]
        if name in self.bodies:
            return False
        QueueRecoverySpec.model_validate(body["spec"])
        self.bodies[name] = deepcopy(dict(body))
        self.created.append(f"{namespace}/{name}")
        self.after("create")
        return True

    async def read(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        del namespace
        self.before("read")
        return self.bodies.get(name)

    def outlines(self, _: str) -> Sequence[RecoveryOutline]:
        found = [(outline_of(body), "completionTime" in body.get("status", {})) for body in self.bodies.values()]
        return [one for one, is_over in found if one.proposed_for or not is_over]


@dataclass
class Incident:
    """A target `media` with a queue `tts`, that is checked every 30 seconds."""

    queues: dict[str, list[str]] = field(default_factory=lambda: {"tts": ["worker"]})
    policy: dict[str, object] = field(default_factory=lambda: {"propose": True})
    api: FakeWriter = field(default_factory=FakeWriter)
    namespace: FakeEnvironment = field(default_factory=FakeEnvironment)
    status: QueueTargetStatus = field(default_factory=QueueTargetStatus)
    """As it is stored."""
    events: list[Event] = field(default_factory=list)
    retries: int = 20

    def __post_init__(self) -> None:
        """Begin with a worker that has been ready for long, and a leader."""
        self.spec = target(self.queues, policy=self.policy, diagnosis={"results": {}, "stuck": {"deafSeconds": 120}})
        self.namespace.deployments.add("worker", oldest_process=NOW - HOUR, ready_since=(NOW - HOUR,))
        self.next_leader()

    def next_leader(self) -> None:
        """Let another process lead, which knows only what is stored."""
        self.watch = StuckWatch()
        self.proposals = Proposals(self.api, self.api.outlines, refused=self._refused)
        self.announcer = Announcer(lambda *arguments: self.events.append(arguments[3]), clock=self._clock)

    async def look(self, times: int = 1) -> None:
        """Check the target and store its status, as the monitor does."""
        for _ in range(times):
            before = self.status
            checked = CheckedTarget(
                namespace="here", name="media", spec=self.spec, stored=before, environment=self.namespace
            )
            propose = partial(self.proposals.propose, checked)
            status = await check_target(
                self.spec, before, self.namespace, generation=1, watch=self.watch, propose=propose
            )
            self.namespace.time += timedelta(seconds=30)
            self.api.before("store")
            self.status = status
            self.api.after("store")
            needs_approval = self.spec.policy.approval == "Required"
            self.announcer.stored("here", "media", "uid", before, status, needs_approval=needs_approval)

    def strand(self, queue: str = "tts", delivered: datetime = NOW - 2 * HOUR) -> None:
        """Let a worker be killed that held a message."""
        broker = self.namespace.fake_broker
        broker.add(f"of {queue}", queue=queue, held=True)
        broker.sightings[queue] = [Sighting(id=b"a", delivered=delivered, held=True)]

    def retry(self, *names: str, queue: str = "tts") -> None:
        """Let tasks be retried once more, of which workers hold the messages."""
        self.retries += 1
        self.namespace.fake_broker.held_by_workers.clear()
        for name in names:
            self.namespace.fake_broker.add(name, queue=queue, held=True)
        self.namespace.fake_broker.sightings[queue] = [
            Sighting(
                id=name.encode(),
                task="tts.render",
                retries=self.retries,
                delivered=self.namespace.time,
                held=True,
                facts=MessageFacts(
                    task_id=name, task="tts.render", retries=self.retries, redelivered=False, sent_by=None
                ),
            )
            for name in names
        ]

    async def loop(self, *names: str, looks: int = 1) -> None:
        """Look so often, while these tasks are retried."""
        for _ in range(looks):
            self.retry(*names)
            await self.look()

    def heal(self) -> None:
        """Let the queue be empty."""
        self.namespace.fake_broker.sightings.clear()
        self.namespace.fake_broker.held_by_workers.clear()

    def cause(self, queue: int = 0) -> QueueStuck:
        """Return the only cause of a queue."""
        [found] = self.status.queues[queue].stuck
        return found

    @property
    def proposal(self) -> dict[str, Any]:
        """The only recovery that was created."""
        [name] = self.api.created
        return self.api.bodies[name.partition("/")[2]]

    @property
    def condition(self) -> str:
        """What the condition `Stuck` says."""
        found = find(self.status.conditions, ConditionType.STUCK)
        assert found is not None
        return found.message

    def told(self, reason: str) -> list[str]:
        """Return what events of a reason say."""
        return [event.note for event in self.events if event.reason == reason]

    def _clock(self) -> float:
        return self.namespace.time.timestamp()

    def _refused(self, message: str) -> None:
        self.events.append(Event(type="Warning", reason="ProposalRefused", note=message))
