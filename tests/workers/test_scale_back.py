"""Scaling a Deployment to 0 with a note, and scaling it back, while others write to it."""

import asyncio
import json

import pytest

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import SCALE_BACK_TO, ScaledDown
from queue_recovery.workers.snapshot import note_labels
from sandbox.api import Json
from sandbox.kubectl import KubectlError
from sandbox.processes import until
from tests.held import NOTE, RELEASE
from tests.sample_worker import ref
from tests.workers.fleet import CLIENT_SIDE, OTHER_RUN, QUICK, RUN, SERVER_SIDE, Fleet, manifest, note


def traces(deployment: Json) -> list[str]:
    """Return where on a Deployment the operator's name still is."""
    found = [key for kind in ("annotations", "labels") for key in deployment["metadata"].get(kind, {})]
    managers = [entry["manager"] for entry in deployment["metadata"]["managedFields"]]
    return [name for name in [*found, *managers] if "queue" in name]


async def test_one_write_sets_note_and_zero_replicas_and_nothing_else(fleet: Fleet) -> None:
    await fleet.apply(manifest())

    async def numbered() -> bool:
        return "deployment.kubernetes.io/revision" in (await fleet.deployment())["metadata"].get("annotations", {})

    await until(numbered, "its controller to have numbered it")
    before = await fleet.deployment()

    await fleet.hold()

    after = await fleet.deployment()
    assert after["spec"].pop("replicas") == 0
    assert before["spec"].pop("replicas") == 2
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert after["metadata"]["labels"] == note_labels(note(2))
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert (await fleet.look()).note == note(2)


async def test_scaling_again_to_the_same_effect_writes_nothing(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    await fleet.hold()

    async def same() -> bool:
        drained = await fleet.drained()
        try:
            await fleet.workers.scale_to_zero(drained, note(2))
        except RecoveryError as error:
            if error.outcome is not Outcome.UNAVAILABLE:  # its controller has written the status meanwhile
                raise
            return False
        return await fleet.look() == drained

    await until(same, "the Deployment to be the same one after it as before")


async def test_a_deployment_that_was_changed_since_it_was_seen_is_left_alone(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.look()
    await fleet.patch({"metadata": {"labels": {"changed": "by-somebody"}}})

    with pytest.raises(RecoveryError) as caught:
        await fleet.workers.scale_to_zero(seen, note(2))

    assert caught.value.reason == Reason.WORKER_CHANGED
    found = await fleet.look()
    assert (found.replicas, found.note) == (2, None)


async def test_a_deployment_that_is_gone_or_another_one_of_its_name_is_not_scaled(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))
    seen = await fleet.look()
    await fleet.kubectl("delete", "deployment", "worker")
    with pytest.raises(RecoveryError) as caught:
        await fleet.workers.scale_to_zero(seen, note(2))
    assert caught.value.reason == Reason.WORKER_CHANGED
    await fleet.apply(manifest(replicas=1))

    with pytest.raises(RecoveryError, match="WorkerChanged"):
        await fleet.workers.scale_to_zero(seen, note(2))

    assert (await fleet.look()).note is None


async def test_of_two_recoveries_that_want_a_deployment_one_gets_it(fleet: Fleet) -> None:
    await fleet.apply(manifest())

    async def settled() -> list[int | BaseException] | None:
        seen = await fleet.look()
        outcomes = await asyncio.gather(
            *(fleet.workers.scale_to_zero(seen, note(2, run)) for run in (RUN, OTHER_RUN)), return_exceptions=True
        )
        return outcomes if any(isinstance(each, int) for each in outcomes) else None

    outcomes = await until(settled, "one of them to get it")
    won = 0 if isinstance(outcomes[0], int) else 1
    lost = outcomes[1 - won]
    assert isinstance(lost, RecoveryError)
    assert lost.outcome is Outcome.UNAVAILABLE
    assert lost.reason == Reason.WORKER_CHANGED
    held = (await fleet.look()).note
    assert held is not None
    assert held.uid == (RUN, OTHER_RUN)[won]


@pytest.mark.parametrize("options", [(CLIENT_SIDE,), (SERVER_SIDE,)], ids=["client-side", "server-side"])
async def test_restoring_gives_the_replicas_back_and_leaves_no_trace(fleet: Fleet, options: tuple[str, ...]) -> None:
    await fleet.apply(manifest(), *options)
    template = (await fleet.deployment())["spec"]["template"]
    seen = await fleet.hold()
    await fleet.drained()

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 2

    restored = await fleet.await_rollout()
    assert (restored.replicas, restored.note, restored.pods, restored.rollout) == (2, None, 2, None)
    found = await fleet.deployment()
    assert traces(found) == []
    assert found["spec"]["template"] == template


async def test_restoring_before_the_drain_has_ended_brings_the_workers_back_too(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.hold()

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 2

    assert (await fleet.await_rollout()).rollout is None
    assert traces(await fleet.deployment()) == []


async def test_restoring_again_finds_no_note_and_changes_no_replicas(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.hold()
    await fleet.workers.scale_back(ref("worker"), seen.uid, RUN)
    await fleet.kubectl("scale", "deployment/worker", "--replicas=1")

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) is None

    assert (await fleet.look()).replicas == 1


async def test_after_a_death_right_behind_the_restoring_write_the_next_call_leaves_no_trace(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.hold()
    await fleet.drained()
    # What `restore` writes first, under the operator's name; then nothing.
    back = {"metadata": {"labels": dict.fromkeys(NOTE)}, "spec": {"replicas": 2}}
    await fleet.kubectl(
        "patch", "deployment", "worker", "--field-manager=queue-recovery", "--type=merge", f"--patch={json.dumps(back)}"
    )
    assert "queue-recovery" in traces(await fleet.deployment())

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) is None

    assert traces(await fleet.deployment()) == []


async def test_a_number_that_somebody_set_during_the_drain_is_kept(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.hold()
    await fleet.kubectl("scale", "deployment/worker", "--replicas=1")

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 1

    found = await fleet.look()
    assert (found.replicas, found.note) == (1, None)


async def test_a_scaling_write_that_comes_after_restoring_fails(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.look()

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) is None
    with pytest.raises(RecoveryError) as caught:
        await fleet.workers.scale_to_zero(seen, note(2))

    assert caught.value.reason == Reason.WORKER_CHANGED
    found = await fleet.look()
    assert (found.replicas, found.note) == (2, None)


async def test_fencing_such_a_write_off_leaves_no_trace_and_the_generation_as_it_is(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.look()
    await fleet.workers.scale_back(ref("worker"), seen.uid, RUN)
    once = await fleet.look()
    await fleet.workers.scale_back(ref("worker"), seen.uid, RUN)
    twice = await fleet.look()

    assert len({seen.resource_version, once.resource_version, twice.resource_version}) == 3
    assert traces(await fleet.deployment()) == []
    assert seen.generation == once.generation == twice.generation


async def test_of_a_scaling_write_and_a_restore_at_once_none_leaves_the_workers_at_zero(fleet: Fleet) -> None:
    for _ in range(5):
        seen = await fleet.roll_out(manifest(replicas=1))

        await asyncio.gather(
            fleet.workers.scale_to_zero(seen, note(1)),
            fleet.workers.scale_back(ref("worker"), seen.uid, RUN),
            return_exceptions=True,
        )

        found = await fleet.look()
        assert (found.replicas, found.note) == (1, None)


async def test_a_deployment_that_another_recovery_holds_is_not_restored(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.look()
    await fleet.hold(run=OTHER_RUN)

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) is None

    found = await fleet.look()
    assert (found.replicas, found.note) == (0, note(2, OTHER_RUN))


async def test_a_rollout_that_is_undone_later_does_not_bring_the_note_back(fleet: Fleet) -> None:
    """`kubectl rollout undo` takes the annotations of the ReplicaSet, to which those of its Deployment were copied."""
    seen = await fleet.roll_out(manifest())
    await fleet.hold()
    await fleet.drained()
    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 2
    await fleet.roll_out(manifest(script=f"{QUICK}  # the next version"))

    await fleet.kubectl("rollout", "undo", "deployment/worker")

    undone = await fleet.await_rollout()
    assert (undone.replicas, undone.note) == (2, None)


@pytest.mark.parametrize("run", [None, OTHER_RUN], ids=["without a note", "with another recovery's note"])
async def test_a_deployment_that_is_gone_or_another_one_of_its_name_is_not_restored(
    fleet: Fleet, run: str | None
) -> None:
    await fleet.apply(manifest(replicas=0))
    first = await fleet.look()
    await fleet.kubectl("delete", "deployment", "worker")
    assert await fleet.workers.scale_back(ref("worker"), first.uid, RUN) is None
    await fleet.apply(manifest(replicas=0))
    if run is not None:
        await fleet.hold(run=run)
    before = await fleet.drained()

    assert await fleet.workers.scale_back(ref("worker"), first.uid, RUN) is None

    assert await fleet.look() == before


async def test_a_deployment_that_was_created_again_with_the_note_is_restored(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    first = await fleet.hold()
    saved = await fleet.kubectl("get", "deployment", "worker", "-o", "yaml")
    await fleet.kubectl("replace", "--force", "-f", "-", input=saved)
    held = await fleet.look()
    assert (held.uid == first.uid, held.replicas, held.note) == (False, 0, note(2))

    assert await fleet.workers.scale_back(ref("worker"), first.uid, RUN) == 2

    restored = await fleet.await_rollout()
    assert (restored.replicas, restored.note, restored.pods) == (2, None, 2)
    assert traces(await fleet.deployment()) == []


@pytest.mark.parametrize("replicas", ["", "many", "2147483648"])
async def test_a_note_that_no_recovery_has_written_is_none(fleet: Fleet, replicas: str) -> None:
    await fleet.apply(manifest(replicas=0))
    labels = note_labels(note(2)) | {SCALE_BACK_TO: replicas}
    await fleet.patch({"metadata": {"labels": labels}})

    assert (await fleet.look()).note is None


@pytest.mark.parametrize("left", [0, 2], ids=["all of them", "one of them"])
async def test_replicas_come_back_though_somebody_has_removed_labels_of_the_note(fleet: Fleet, left: int) -> None:
    """As an owner's controller does that sets all labels, and leaves the replicas to an autoscaler."""
    await fleet.apply(manifest())
    seen = await fleet.hold()
    drained = await fleet.drained()
    await fleet.kubectl("label", "deployment/worker", *RELEASE[left:])
    assert (await fleet.look()).note is None
    known = ScaledDown(generation=drained.generation, replicas=2)

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN, scaled_down=known) == 2

    assert (await fleet.await_rollout()).replicas == 2
    assert traces(await fleet.deployment()) == []


async def test_one_that_had_no_replicas_is_fenced_also_where_the_note_is_gone(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))
    seen = await fleet.hold()
    drained = await fleet.drained()
    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 0
    late = await fleet.look()
    known = ScaledDown(generation=drained.generation, replicas=0)

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN, scaled_down=known) is None

    with pytest.raises(RecoveryError, match="WorkerChanged"):
        await fleet.workers.scale_to_zero(late, note(0))


async def test_a_zero_that_somebody_has_set_since_stays_where_the_note_is_gone(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    seen = await fleet.hold()
    drained = await fleet.drained()
    await fleet.kubectl("label", "deployment/worker", *RELEASE)
    for replicas in (1, 0):
        await fleet.kubectl("scale", "deployment/worker", f"--replicas={replicas}")

    known = ScaledDown(generation=drained.generation, replicas=2)
    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN, scaled_down=known) is None

    assert (await fleet.look()).replicas == 0


async def test_a_note_of_which_a_part_is_left_says_that_the_deployment_may_be_held(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    await fleet.hold()
    assert not (await fleet.look()).note_is_damaged

    await fleet.kubectl("label", "--overwrite", "deployment/worker", f"{SCALE_BACK_TO}=many")
    seen = await fleet.look()
    assert (seen.note, seen.note_is_damaged) == (None, True)

    await fleet.kubectl("label", "deployment/worker", *RELEASE)
    assert not (await fleet.look()).note_is_damaged


async def test_a_deployment_without_replicas_in_its_manifest_is_held_and_restored(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=None))
    seen = await fleet.hold()

    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 1


async def test_a_client_side_apply_during_the_drain_is_seen_and_the_note_survives_it(fleet: Fleet) -> None:
    await fleet.apply(manifest(), CLIENT_SIDE)
    seen = await fleet.hold()
    drained = await fleet.drained()

    await fleet.apply(manifest(), CLIENT_SIDE)

    revived = await fleet.look()
    assert (revived.replicas, revived.note, revived.drained) == (2, note(2), False)
    assert revived.generation > drained.generation
    assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 2
    assert traces(await fleet.deployment()) == []


async def test_a_server_side_apply_conflicts_during_the_drain_and_not_after_restoring(fleet: Fleet) -> None:
    await fleet.apply(manifest(), SERVER_SIDE)
    seen = await fleet.hold()
    with pytest.raises(KubectlError, match="queue-recovery"):
        await fleet.apply(manifest(), SERVER_SIDE)

    await fleet.workers.scale_back(ref("worker"), seen.uid, RUN)
    await fleet.apply(manifest(replicas=1), SERVER_SIDE)

    assert (await fleet.look()).replicas == 1
