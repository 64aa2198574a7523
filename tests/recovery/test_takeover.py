"""Ending a recovery that is gone: its workers are scaled back even if the next one stops none."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.locks import check_notes, check_notes_are_whole, check_queue_locks
from queue_recovery.recovery.ports import Holder, ScaleBackNote
from tests.recovery.fakes import CLUSTER, Case, target

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
NO_MESSAGES: dict[str, object] = {"purge": {"mode": "None"}}
MANUAL: dict[str, object] = {"restart": {"strategy": "Manual"}}
RESTORES: dict[str, object] = {"restoreFrom": {"name": "earlier"}}
SCALED_BACK = [("worker", "uid of worker", "gone"), ("extra", "uid of extra", "gone")]


def locked(spec: Mapping[str, object] | None = None, *, holder: Holder = HOLDER, noted: str = "removed") -> Case:
    """Return a recovery whose queue and Deployments are held by one that is gone.

    `noted` is the name of that one on the Deployments.
    """
    case = Case(spec)
    case.environment.targets["media"] = target({"mail": ["mailer"], "tts": ["worker", "extra"]}, jobStore=None)
    for name in ("mailer", "worker", "extra"):
        note = ScaleBackNote(uid="gone", name=noted, replicas=2)
        case.workers.add(name, replicas=0, pods=0, drained=True, note=note)
    case.broker.locks["tts"] = holder
    return case


async def take_over(case: Case) -> list[str]:
    """Take the lock over; return the calls that have an effect, in their order."""
    await check_queue_locks(case.recovery(), ["tts"])
    return effects(case)


def effects(case: Case) -> list[str]:
    return [call for call in case.environment.log if call in {"close", "scale_back", "release"}]


@pytest.mark.parametrize("spec", [NO_MESSAGES, RESTORES, MANUAL], ids=["takes no messages", "restores", "manual"])
async def test_a_recovery_that_stops_no_workers_scales_those_back_of_one_that_is_gone(spec: dict[str, object]) -> None:
    case = locked(spec)

    assert await take_over(case) == ["close", "scale_back", "scale_back", "release"]

    assert case.workers.scaled_back == SCALED_BACK
    assert case.workers.replicas == {"mailer": 0, "worker": 2, "extra": 2}
    assert case.broker.locks == {}


async def test_a_takeover_is_said_with_the_name_of_the_one_that_is_gone_and_where_its_messages_are() -> None:
    case = locked()

    await take_over(case)

    (message,) = {
        status.message
        for status in case.resource.written
        if any(one.reason == "TakenOver" for one in status.conditions)
    }
    assert message.startswith('recovery "media/removed" (gone) holds queue "tts" but no longer exists. ')
    assert message.endswith(" under quarantine")


async def test_a_recovery_that_stops_the_workers_itself_leaves_them_at_zero() -> None:
    assert await take_over(locked()) == ["close", "release"]


async def test_a_deployment_that_is_gone_too_is_skipped() -> None:
    case = locked(NO_MESSAGES)
    case.workers.remove("worker")

    assert (await take_over(case))[-1] == "release"

    assert case.workers.scaled_back == SCALED_BACK[1:]


async def test_a_deployment_without_a_note_is_touched_so_that_a_late_scaling_write_fails() -> None:
    case = locked(NO_MESSAGES)
    case.workers.change("worker", note=None, replicas=2)

    await take_over(case)

    assert case.workers.scaled_back == SCALED_BACK


async def test_deployments_are_left_alone_if_the_one_that_is_gone_was_in_another_namespace() -> None:
    case = locked(NO_MESSAGES, holder=replace(HOLDER, name="other/removed"))

    await take_over(case)

    assert case.workers.scaled_back == []


async def test_a_name_in_the_broker_that_is_not_the_one_in_the_note_scales_nothing_back() -> None:
    case = locked(NO_MESSAGES, noted="runs")

    await take_over(case)

    assert case.workers.scaled_back == []


async def test_the_note_of_a_recovery_that_has_ended_blocks_no_other_one() -> None:
    """It came with an older manifest of the Deployment."""
    case = locked(noted="ended")
    case.environment.ended.add("media/ended")

    await check_notes(case.recovery(), case.workers.deployments.values())


async def test_a_lock_that_a_failover_has_brought_back_after_its_recovery_had_ended_is_taken_over() -> None:
    case = locked()
    case.environment.ended.add("media/removed")

    assert await take_over(case) == ["close", "release"]

    assert case.broker.locks == {}
    assert "has ended" in case.status.message


async def test_a_lock_that_is_released_while_its_holder_is_looked_up_is_not_taken_over() -> None:
    case = locked()
    case.environment.ended.add("media/removed")
    case.environment.on_call["exists"] = case.broker.locks.clear

    assert await take_over(case) == []


async def test_a_damaged_note_blocks_a_recovery_that_has_not_begun_and_says_what_to_do() -> None:
    case = locked()
    damaged = case.workers.change("worker", note=None, note_is_damaged=True)

    with pytest.raises(AwaitingChange, match=r"kubectl label deployment/worker -n media queuerecovery\.dev/held-by- "):
        check_notes_are_whole(case.recovery(), [damaged])


async def test_the_lock_is_held_until_the_workers_are_back() -> None:
    case = locked(NO_MESSAGES)
    case.workers.fail("scale_back", RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "down"))

    with pytest.raises(RecoveryError):
        await take_over(case)

    assert "release" not in effects(case)
