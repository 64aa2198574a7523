"""A Rollout in the middle of an update is not stopped, and one whose update begins meanwhile gets its pods back."""

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.plan import plan
from queue_recovery.recovery.ports import Worker
from tests.recovery.fakes import Case, target
from tests.sample_worker import ref

CANARY = "it is in a canary update at step 1 of 4, and at 0 replicas the update would go on without pods"
CREW = ref("tts", "Crew", api_version="example.com/v1")
ROLLOUT = ref("tts", "Rollout", api_version="argoproj.io/v1alpha1")


def of_a_rollout(unsettled: str | None = None, **spec: object) -> Case:
    """Return a recovery whose worker is a Rollout."""
    case = Case(spec)
    case.broker.add("old")
    workers = [{"apiVersion": ROLLOUT.api_version, "kind": ROLLOUT.kind, "name": ROLLOUT.name}]
    case.environment.targets["media"] = target(queues=[{"name": "tts", "workers": workers}])
    case.workers.remove("worker")
    case.workers.add("tts", ref=ROLLOUT, unsettled=unsettled)
    return case


def update(case: Case, unsettled: str | None) -> Worker:
    """Begin or end an update, as its controller reports it."""
    seen = case.workers.change("tts", unsettled=unsettled)
    case.environment.report_change()
    return seen


async def test_before_an_update_has_ended_nothing_is_touched_and_then_the_recovery_goes_on_by_itself() -> None:
    case = of_a_rollout(CANARY)
    working = case.start()

    said = await case.waits(Reason.UPDATE_IN_PROGRESS)

    assert said.endswith(
        f'Rollout.argoproj.io "tts" is not stopped now: {CANARY}. Promote the update '
        "(kubectl argo rollouts promote --full tts -n media) or undo it (kubectl argo rollouts undo tts -n media); "
        "this recovery continues then"
    )
    assert (case.status.phase, case.status.drain_start_time) == ("Pending", None)
    assert "scale_to_zero" not in case.environment.log
    update(case, None)
    await working
    assert (case.status.phase, case.workers.replicas) == ("Succeeded", {"tts": 2})


@pytest.mark.parametrize(("call", "has_begun"), [("follow", False), ("open", True)])
async def test_an_update_that_begins_after_the_plan_is_not_disturbed_either(call: str, *, has_begun: bool) -> None:
    case = of_a_rollout()
    called = case.workers if call == "follow" else case.broker

    def begin() -> None:
        del called.on_call[call]
        update(case, CANARY)

    called.on_call[call] = begin
    working = case.start()

    await case.waits(Reason.UPDATE_IN_PROGRESS)

    assert (case.status.drain_start_time is not None, "open" in case.environment.log) == (has_begun, has_begun)
    assert "scale_to_zero" not in case.environment.log
    assert case.broker.queued() == ["old"]
    update(case, None)
    await working
    assert (case.status.phase, case.workers.replicas) == ("Succeeded", {"tts": 2})


async def test_an_update_that_begins_while_the_pods_end_gets_its_pods_back_before_a_message_is_taken() -> None:
    case = of_a_rollout()
    case.workers.pods_hang = True
    working = case.start()
    await case.waits(Reason.DRAINING)

    update(case, CANARY)
    await case.waits(Reason.UPDATE_IN_PROGRESS)

    assert (case.workers.replicas, case.workers.deployments["tts"].note) == ({"tts": 2}, None)
    assert "take" not in case.environment.log
    update(case, None)
    await case.waits(Reason.DRAINING)
    case.workers.end_pods()
    await working
    assert (case.status.phase, case.workers.replicas) == ("Succeeded", {"tts": 2})


async def test_a_process_that_finds_an_update_at_0_replicas_scales_back_first() -> None:
    case = of_a_rollout()
    case.workers.pods_hang = True
    working = case.start()
    await case.waits(Reason.DRAINING)
    working.cancel()  # this process dies; its writes are done
    update(case, CANARY)

    again = case.start()
    await case.waits(Reason.UPDATE_IN_PROGRESS)

    assert case.workers.replicas == {"tts": 2}
    case.resource.change(cancel=True)
    await again
    assert (case.status.phase, case.workers.replicas) == ("Cancelled", {"tts": 2})


async def test_one_that_is_scaled_up_meanwhile_is_named_with_who_did_it_and_not_taken_for_an_update() -> None:
    case = of_a_rollout()
    case.workers.pods_hang = True
    working = case.start()
    await case.waits(Reason.DRAINING)

    case.workers.scale("tts", 3)
    case.workers.change("tts", unsettled="its controller has not observed the change yet", scaled_by="scaler")

    assert 'field manager "scaler"' in await case.waits(Reason.WORKER_CHANGED)
    case.resource.change(cancel=True)
    await working


async def test_who_scales_the_workers_himself_decides_about_the_update_himself() -> None:
    case = of_a_rollout(CANARY, restart={"strategy": "Manual"})

    await plan(case.recovery())

    assert case.status.plan is not None


async def test_a_restart_disturbs_no_update_and_waits_for_its_end() -> None:
    case = of_a_rollout(CANARY, purge={"mode": "None"}, restart={"annotate": True})
    case.workers.change("tts", rollout="it is in a canary update at step 1 of 4")
    working = case.start()

    await case.waits(Reason.AWAITING_ROLLOUT)

    assert case.workers.restarted == ["tts"]
    case.workers.change("tts", rollout=None)
    await working
    assert case.status.phase == "Succeeded"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"restart": {"requireImage": [{**CREW.model_dump(by_alias=True), "image": "*"}]}}, "requireImage"),
        ({"purge": {"mode": "None"}, "restart": {"annotate": True}}, "annotate"),
    ],
)
async def test_of_a_kind_whose_updates_are_not_known_neither_images_nor_restarts_are_promised(
    spec: dict[str, dict[str, object]], field: str
) -> None:
    case = of_a_rollout(None, **spec)
    case.environment.targets["media"] = target(queues=[{"name": "tts", "workers": [CREW.model_dump(by_alias=True)]}])
    case.workers.change("tts", ref=CREW)

    status = await case.reaches("Failed")

    assert status.ending is not None
    assert status.ending.reason == Reason.WORKER_KIND_UNSUITED
    assert f"so restart.{field} cannot be used" in status.message
