"""Ending a recovery that is gone: its workers come back also where the next one stops none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.locks import check_notes, check_notes_are_whole, check_queue_locks
from queue_recovery.recovery.ports import Closed, Holder, ScaleBackNote, Worker
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.recovery import Recovery
from tests.sample_worker import WORKER
from tests.turns import alone

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CLUSTER = "this-cluster"
TARGET = QueueTargetSpec.model_validate(
    {
        "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
        "queues": [
            {"name": "mail", "workers": [{"name": "mailer"}]},
            {"name": "tts", "workers": [{"name": "worker"}, {"name": "extra"}]},
        ],
    }
)
HOLDER = Holder(
    uid="gone",
    name="media/removed",
    run="gone",
    cluster=CLUSTER,
    cluster_uid=CLUSTER,
    retention_seconds=60,
    lock="lock",
    quarantine="quarantine",
)
ENDED = "media/ended"
"""It exists, and has ended."""
NO_MESSAGES: dict[str, object] = {"purge": {"mode": "None"}}
MANUAL: dict[str, object] = {"restart": {"strategy": "Manual"}}
RESTORES: dict[str, object] = {"restoreFrom": {"name": "earlier"}}
RESTORED = [("worker", "uid of worker", "gone"), ("extra", "uid of extra", "gone")]


def worker(name: str, note: ScaleBackNote | None) -> Worker:
    return replace(WORKER, name=name, uid=f"uid of {name}", replicas=0, note=note, pods=0, drained=True)


class Case:
    """A recovery that finds its queue's lock held by one that is gone; its resource, its environment and its broker."""

    uid, namespace, name, created, cluster = "uid", "media", "next", NOW, CLUSTER

    def __init__(
        self,
        spec: Mapping[str, object],
        *,
        holder: Holder = HOLDER,
        noted: str = "removed",
        refusal: RecoveryError | None = None,
    ) -> None:
        wanted = {"targetRef": {"name": "media"}, "queue": "tts", **spec}
        self.desired = DesiredState(spec=QueueRecoverySpec.model_validate(wanted), generation=1, deleting=False)
        note = ScaleBackNote(uid="gone", name=noted, replicas=2)
        self.deployments = {name: worker(name, note) for name in ("mailer", "worker", "extra")}
        self.workers = self
        self.restored: list[tuple[str, ...]] = []
        self.done: list[str] = []
        self._holder, self._refusal = holder, refusal

    @property
    def recovery(self) -> Recovery:
        status = QueueRecoveryStatus()
        return Recovery(
            resource=cast("Resource", self), environment=cast("Environment", self), status=status, turn=alone()
        )

    async def takes_over(self) -> None:
        await check_queue_locks(self.recovery, ["tts"])

    def now(self) -> datetime:
        return NOW

    async def write(self, status: QueueRecoveryStatus) -> None:
        """Nothing is read of it."""

    async def cluster_uid(self) -> str:
        return CLUSTER

    async def exists(self, name: str, _: str, *, unfinished: bool = False) -> bool:
        return name == ENDED and not unfinished

    async def target(self, _: str) -> QueueTargetSpec:
        return TARGET

    async def broker(self, _: object) -> "Case":
        return self

    async def holders(self, *queues: str) -> Mapping[str, Holder]:
        return dict.fromkeys(queues, self._holder)

    def run(self, _: object) -> "Case":
        return self

    async def close(self) -> Closed:
        self.done.append("closed")
        return Closed(unpurged=frozenset({"tts"}))

    async def release(self, **_: object) -> None:
        self.done.append("released")

    async def look(self, names: Sequence[str]) -> Sequence[Worker]:
        if missing := [name for name in names if name not in self.deployments]:
            raise AwaitingChange(Reason.WORKER_NOT_FOUND, f"no Deployment {missing}")
        return [self.deployments[name] for name in names]

    async def scale_back(self, *worker: str, **_: object) -> None:
        if self._refusal is not None:
            raise self._refusal
        self.done.append("scaled back")
        self.restored.append(worker)


@pytest.mark.parametrize("spec", [NO_MESSAGES, RESTORES, MANUAL], ids=["takes no messages", "restores", "manual"])
async def test_a_recovery_that_stops_no_workers_brings_those_back_of_one_that_is_gone(spec: dict[str, object]) -> None:
    case = Case(spec)

    await case.takes_over()

    assert case.restored == RESTORED
    assert case.done == ["closed", "scaled back", "scaled back", "released"]


async def test_a_recovery_that_stops_the_workers_itself_leaves_them_at_zero() -> None:
    case = Case({})

    await case.takes_over()

    assert case.restored == []
    assert case.done == ["closed", "released"]


async def test_a_deployment_that_is_gone_too_is_no_obstacle() -> None:
    case = Case(NO_MESSAGES)
    del case.deployments["worker"]

    await case.takes_over()

    assert case.restored == RESTORED[1:]
    assert case.done[-1] == "released"


async def test_a_scaling_write_that_is_still_under_way_is_fended_off_where_no_note_is() -> None:
    case = Case(NO_MESSAGES)
    case.deployments["worker"] = replace(case.deployments["worker"], note=None, replicas=2)

    await case.takes_over()

    assert case.restored == RESTORED


async def test_deployments_are_left_alone_where_the_one_that_is_gone_was_in_another_namespace() -> None:
    case = Case(NO_MESSAGES, holder=replace(HOLDER, name="other/removed"))

    await case.takes_over()

    assert case.restored == []


async def test_a_uid_in_the_broker_that_is_of_another_recovery_than_its_name_brings_nothing_back() -> None:
    case = Case(NO_MESSAGES, noted="runs")

    await case.takes_over()

    assert case.restored == []


async def test_the_note_of_one_that_has_ended_holds_nobody_up() -> None:
    """It came with an older manifest of the Deployment."""
    case = Case({}, noted="ended")

    await check_notes(case.recovery, case.deployments.values())


async def test_a_note_that_somebody_has_damaged_holds_up_who_has_not_begun_and_says_what_to_do() -> None:
    case = Case({})
    damaged = replace(case.deployments["worker"], note=None, note_is_damaged=True)

    with pytest.raises(AwaitingChange, match=r"kubectl label deployment/worker -n media queuerecovery\.dev/held-by- "):
        check_notes_are_whole(case.recovery, [damaged])


async def test_the_lock_is_kept_until_the_workers_are_back() -> None:
    case = Case(NO_MESSAGES, refusal=RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "away"))

    with pytest.raises(RecoveryError, match="KubernetesUnavailable"):
        await case.takes_over()

    assert case.done == ["closed"]
