"""Workers of several kinds in one recovery, each named with its kind where two may have one name."""

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.plan import plan
from tests.recovery.fakes import Case, target
from tests.sample_worker import ref

_FAKES = ("deployment", "stateful-set")
_NAMES = ({"kind": "StatefulSet", "name": "tts"}, {"name": "tts"})


def of_two_kinds(**spec: object) -> Case:
    """Return a recovery whose queue a Deployment and a StatefulSet of one name consume."""
    case = Case(spec)
    case.broker.add("old")
    queue = {"name": "tts", "workers": _NAMES}
    case.environment.targets["media"] = target(queues=[queue])
    case.workers.add("deployment", ref=ref("tts"), replicas=1)
    case.workers.add("stateful-set", ref=ref("tts", "StatefulSet"), replicas=3)
    return case


def keep_volumes(case: Case, *, keep: bool) -> None:
    """Set whether the volumes of the StatefulSet's pods stay when it is scaled to 0, as a user does."""
    generation = case.workers.deployments["stateful-set"].generation + 1
    case.workers.change("stateful-set", deletes_volumes=not keep, generation=generation)
    case.environment.report_change()


def replicas(case: Case) -> list[int]:
    """Return the replicas of the Deployment and of the StatefulSet."""
    return [case.workers.deployments[name].replicas for name in _FAKES]


async def test_two_workers_of_one_name_are_two_in_the_status_and_each_gets_its_replicas_back() -> None:
    case = of_two_kinds()

    status = await case.reaches("Succeeded")

    assert [(one.kind, one.name, one.replicas) for one in status.workers] == [
        ("Deployment", "tts", 1),
        ("StatefulSet", "tts", 3),
    ]
    assert replicas(case) == [1, 3]


async def test_what_the_user_is_told_to_scale_has_its_kind() -> None:
    case = of_two_kinds(restart={"strategy": "Manual"})
    working = case.start()

    said = await case.waits(Reason.AWAITING_MANUAL_SCALE_DOWN)

    assert "kubectl scale deployment/tts statefulset/tts --replicas=0 -n media" in said
    case.resource.change(cancel=True)
    await working


async def test_a_status_without_kinds_is_one_of_deployments() -> None:
    case = of_two_kinds()
    before = {"workers": [{"name": "tts", "uid": "d", "replicas": 2}]}

    assert [one.ref for one in QueueRecoveryStatus.model_validate(before).workers] == [ref("tts")]
    assert workers_of(case.environment.targets["media"].queues) == [ref("tts"), ref("tts", "StatefulSet")]


async def test_volumes_that_would_be_deleted_are_not_and_the_message_says_what_to_set() -> None:
    case = of_two_kinds()
    keep_volumes(case, keep=False)
    working = case.start()

    said = await case.waits(Reason.VOLUMES_WOULD_BE_DELETED)

    assert "would lose the volumes of its pods" in said
    assert "scale_to_zero" not in case.environment.log
    case.resource.change(cancel=True)
    await working


@pytest.mark.parametrize("call", ["follow", "open", "scale_to_zero"])
async def test_volumes_that_would_be_deleted_by_the_time_of_the_stop_are_kept_too(call: str) -> None:
    case = of_two_kinds()
    case.broker.add("old")
    called = case.broker if call == "open" else case.workers

    def change() -> None:
        del called.on_call[call]
        keep_volumes(case, keep=False)

    called.on_call[call] = change
    working = case.start()

    await case.waits(Reason.VOLUMES_WOULD_BE_DELETED)

    assert replicas(case) == [1, 3]
    assert (case.status.drain_start_time is None) == (call == "follow")
    assert ("scale_to_zero" in case.environment.log) == (call == "scale_to_zero")
    assert "take" not in case.environment.log
    keep_volumes(case, keep=True)
    await working
    assert (case.status.phase, replicas(case)) == ("Succeeded", [1, 3])


async def test_volumes_that_are_to_be_deleted_while_the_pods_end_get_their_pods_back() -> None:
    case = of_two_kinds()
    case.broker.add("old")
    case.workers.pods_hang = True
    working = case.start()
    await case.waits(Reason.DRAINING)

    keep_volumes(case, keep=False)
    await case.waits(Reason.VOLUMES_WOULD_BE_DELETED)

    assert replicas(case) == [1, 3]
    assert "take" not in case.environment.log
    case.resource.change(cancel=True)
    await working


async def test_volumes_are_the_users_where_the_user_scales_the_workers() -> None:
    case = of_two_kinds(restart={"strategy": "Manual"})
    keep_volumes(case, keep=False)

    await plan(case.recovery())

    assert case.status.plan is not None


async def test_an_update_that_a_partition_holds_is_not_completed_by_a_stop() -> None:
    case = of_two_kinds()
    case.workers.change("stateful-set", unsettled="partition is 2")
    working = case.start()

    said = await case.waits(Reason.UPDATE_IN_PROGRESS)

    assert said.endswith(
        'StatefulSet "tts" is not stopped now: partition is 2. Set partition to 0, or undo the update '
        "(kubectl rollout undo statefulset/tts -n media); this recovery continues then"
    )
    assert "scale_to_zero" not in case.environment.log
    case.resource.change(cancel=True)
    await working
