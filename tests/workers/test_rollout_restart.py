"""Restarting a Deployment's pods by the annotation of `kubectl rollout restart`, while others write to it."""

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import STATEFUL_SET
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import RESTARTED_AT, Worker
from sandbox.processes import until
from tests.workers.fleet import CLIENT_SIDE, RUN, SERVER_SIDE, Fleet, manifest, stateful

FIRST = "2030-01-01T00:00:00Z"


async def restarted(fleet: Fleet, at: str = FIRST) -> Worker:
    """Restart as a recovery does, looking again when the Deployment has changed; return it as it was."""

    async def done() -> Worker | None:
        seen = await fleet.look()
        try:
            await fleet.workers.restart(seen, at)
        except RecoveryError as error:
            if error.reason != Reason.WORKER_CHANGED:
                raise
            return None
        return seen

    return await until(done, "the workers to be restarted")


async def pods(fleet: Fleet) -> set[str]:
    return {pod["metadata"]["uid"] for pod in await fleet.pods()}


@pytest.mark.parametrize("options", [CLIENT_SIDE, SERVER_SIDE])
async def test_all_pods_are_replaced_and_the_manifest_can_be_applied_again_without_another_restart(
    fleet: Fleet, options: str
) -> None:
    await fleet.apply(manifest(), options)
    await fleet.await_rollout()
    before, template = await pods(fleet), (await fleet.deployment())["spec"]["template"]

    await restarted(fleet)

    assert (await fleet.await_rollout()).restarted_at == FIRST

    async def are_replaced() -> bool:
        return before.isdisjoint(await pods(fleet))

    await until(are_replaced, "the former pods to end")
    after = await fleet.deployment()
    assert after["spec"]["template"]["metadata"].pop("annotations") == {RESTARTED_AT: FIRST}
    assert after["spec"]["template"] == template
    assert "queue-recovery" not in [entry["manager"] for entry in after["metadata"]["managedFields"]]
    await fleet.apply(manifest(), options)
    assert (await fleet.look()).restarted_at == FIRST


async def test_the_same_restart_again_restarts_nothing_and_leaves_no_field_to_the_operator(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    await restarted(fleet)
    generation = (await fleet.look()).generation
    path = f"/apis/apps/v1/namespaces/{fleet.namespace}/deployments/worker?fieldManager=queue-recovery"
    # As it is left by a process that dies right after its write.
    await fleet.api.patch(path, {"metadata": {"labels": {"example.com/owned": "by-the-operator"}}})

    await restarted(fleet)

    after = await fleet.deployment()
    assert after["metadata"]["generation"] == generation
    assert "queue-recovery" not in [entry["manager"] for entry in after["metadata"]["managedFields"]]


async def test_a_deployment_that_was_changed_or_replaced_since_it_was_seen_is_not_restarted(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))
    seen = await fleet.look()
    await fleet.patch({"metadata": {"labels": {"changed": "by-somebody"}}})
    with pytest.raises(RecoveryError, match="WorkerChanged"):
        await fleet.workers.restart(seen, FIRST)
    await fleet.kubectl("delete", "deployment", "worker")
    with pytest.raises(RecoveryError, match="WorkerChanged"):
        await fleet.workers.restart(seen, FIRST)
    await fleet.apply(manifest(replicas=0))

    with pytest.raises(RecoveryError, match="WorkerChanged"):
        await fleet.workers.restart(seen, FIRST)

    assert (await fleet.look()).restarted_at is None


async def test_an_ending_refuses_a_restart_that_another_process_still_sends(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))
    seen = await fleet.look()

    assert await fleet.workers.scale_back(seen.ref, seen.uid, RUN) is None

    with pytest.raises(RecoveryError, match="WorkerChanged"):
        await fleet.workers.restart(seen, FIRST)


async def test_what_kubectl_rollout_restart_writes_is_what_the_operator_reads(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))
    await restarted(fleet)

    await fleet.kubectl("rollout", "restart", "deployment/worker")

    assert (await fleet.look()).restarted_at not in {None, FIRST}


async def test_a_stateful_set_is_restarted_as_a_deployment_is(fleet: Fleet) -> None:
    fleet.gvk = STATEFUL_SET
    await fleet.apply(stateful(manifest(replicas=1)))
    await fleet.await_rollout()
    before = await pods(fleet)

    await restarted(fleet)

    async def are_replaced() -> bool:
        return bool(await pods(fleet)) and before.isdisjoint(await pods(fleet))

    await until(are_replaced, "the former pod to be replaced")
    assert (await fleet.await_rollout()).restarted_at == FIRST
