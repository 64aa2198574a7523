"""A StatefulSet is stopped and scaled back as a Deployment is; its pods end and start one after the other."""

import asyncio
from copy import deepcopy
from pathlib import Path

import pytest

from queue_recovery.api.worker_ref import STATEFUL_SET
from queue_recovery.recovery.ports import Worker
from queue_recovery.workers import snapshot
from queue_recovery.workers.objects import Pod
from queue_recovery.workers.observed import NOT_OBSERVED
from queue_recovery.workers.workloads import StatefulSet
from sandbox.api import Json
from tests.sample_worker import ref
from tests.workers.fleet import RUN, SECONDS, Fleet, SlowWorkers, manifest, note, stateful
from tests.workers.test_scale_back import traces

AT_ZERO: Json = {
    "metadata": {"name": "worker", "uid": "s", "resourceVersion": "7", "generation": 4},
    "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "worker"}}},
    "status": {"observedGeneration": 4, "replicas": 0},
}
ROLLED_OUT: Json = {
    **AT_ZERO,
    "spec": {**AT_ZERO["spec"], "replicas": 2},
    "status": {
        "observedGeneration": 4,
        "replicas": 2,
        "readyReplicas": 2,
        "updatedReplicas": 2,
        "currentRevision": "a",
        "updateRevision": "a",
    },
}


def pod(owner: str = "s", kind: str = "StatefulSet", phase: str = "Running") -> Json:
    reference = {"uid": owner, "kind": kind, "controller": True}
    metadata = {"name": "worker-0", "uid": "p", "resourceVersion": "8", "ownerReferences": [reference]}
    return {"metadata": {**metadata, "labels": {"app": "worker"}}, "status": {"phase": phase}}


def seen(state: Json, *pods: Json, beside: tuple[Json, ...] = ()) -> Worker:
    """Return the worker, with other StatefulSets of the namespace beside it."""
    parsed = [StatefulSet.model_validate(one) for one in (state, *beside)]
    return snapshot.worker(parsed[0], parsed, [], [Pod.model_validate(one) for one in pods])


def changed(state: Json, **status: object) -> Json:
    return {**state, "status": {**state["status"], **status}}


def test_the_name_of_its_pod_stands_for_no_process_because_the_next_pod_has_it_too() -> None:
    running = {"state": {"running": {"startedAt": "2026-05-01T01:00:00Z"}}}
    one = pod()
    one["status"]["containerStatuses"] = [running]

    assert seen(AT_ZERO, one).running_pods == {}


def test_it_is_drained_once_its_controller_has_observed_0_and_no_pod_of_it_lives() -> None:
    assert seen(AT_ZERO).drained
    assert seen(AT_ZERO, pod(phase="Succeeded")).drained
    assert not seen(AT_ZERO, pod()).drained
    assert not seen(changed(AT_ZERO, observedGeneration=3)).drained
    assert not seen(changed(AT_ZERO, replicas=1)).drained
    assert not seen(ROLLED_OUT).drained


def test_pods_of_one_that_was_replaced_are_its_own_and_those_of_others_are_not() -> None:
    other = deepcopy(AT_ZERO)
    other["metadata"] |= {"name": "other", "uid": "o"}

    assert not seen(AT_ZERO, pod(owner="replaced")).drained
    assert seen(AT_ZERO, pod(owner="o"), beside=(other,)).drained
    assert seen(AT_ZERO, pod(kind="ReplicaSet")).drained


@pytest.mark.parametrize(
    ("status", "strategy", "waits_for"),
    [
        ({}, {}, None),
        ({"observedGeneration": 3}, {}, NOT_OBSERVED),
        ({"readyReplicas": 1}, {}, "1 of 2 replicas are ready"),
        ({"replicas": 3}, {}, "1 old replica pending termination"),
        ({"updateRevision": "b", "updatedReplicas": 1}, {}, "1 of 2 replicas have been updated"),
        ({"updateRevision": "b", "updatedReplicas": 0}, {"type": "OnDelete"}, None),
        ({"updateRevision": "b", "updatedReplicas": 1}, {"rollingUpdate": {"partition": 1}}, None),
        (
            {"updateRevision": "b", "updatedReplicas": 0},
            {"rollingUpdate": {"partition": 1}},
            "0 of 1 replicas have been updated",
        ),
    ],
)
def test_its_rollout_is_judged_as_kubectl_does(status: Json, strategy: Json, waits_for: str | None) -> None:
    state = changed(ROLLED_OUT, **status)
    state["spec"] = {**state["spec"], "updateStrategy": strategy}

    assert seen(state).rollout == waits_for


HELD = "updateStrategy.rollingUpdate.partition is 2, and at 0 replicas its update would be completed for all pods"


@pytest.mark.parametrize(
    ("strategy", "spec", "status", "unsettled", "outdated"),
    [
        ({"rollingUpdate": {"partition": 2}}, {}, {}, None, None),
        ({"rollingUpdate": {"partition": 0}}, {}, {"updateRevision": "b", "updatedReplicas": 0}, None, None),
        (
            {"rollingUpdate": {"partition": 2}},
            {},
            {"updateRevision": "b", "updatedReplicas": 0},
            HELD,
            "0 of 2 replicas are of its template, because updateStrategy.rollingUpdate.partition is 2",
        ),
        ({"rollingUpdate": {"partition": 2}}, {"replicas": 0}, {"updateRevision": "b", "replicas": 1}, HELD, None),
        ({"rollingUpdate": {"partition": 2}}, {}, {"observedGeneration": 3}, NOT_OBSERVED, None),
        ({"rollingUpdate": {"partition": 2}}, {"replicas": 0}, {"observedGeneration": 3}, None, None),
        (
            {"type": "OnDelete"},
            {},
            {"updateRevision": "b", "updatedReplicas": 1},
            None,
            "1 of 2 replicas are of its template, because updateStrategy.type is OnDelete",
        ),
        # The controller leaves the former revision in the status when all pods have been deleted.
        ({"type": "OnDelete"}, {}, {"updateRevision": "b"}, None, None),
    ],
)
def test_an_update_that_a_partition_holds_is_not_settled_and_its_pods_are_of_two_templates(
    strategy: Json, spec: Json, status: Json, unsettled: str | None, outdated: str | None
) -> None:
    state = changed(ROLLED_OUT, **status)
    state["spec"] = {**state["spec"], "updateStrategy": strategy, **spec}

    found = seen(state)

    assert (found.unsettled, found.outdated) == (unsettled, outdated)


async def test_an_update_that_a_partition_holds_is_not_stopped_and_a_recovery_wakes_when_it_is_undone(
    fleet: Fleet,
) -> None:
    fleet.gvk = STATEFUL_SET
    state = stateful(manifest())
    state["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await fleet.roll_out(state)
    former = state["spec"]["template"]["metadata"]
    assert (await fleet.look()).unsettled is None
    state["spec"]["template"]["metadata"] = {**former, "annotations": {"template": "new"}}
    await fleet.apply(state)

    await fleet.await_rollout()

    found = await fleet.look()
    assert (found.rollout, found.unsettled, found.keeps_pods) == (None, HELD, HELD.split(",", maxsplit=1)[0])
    assert found.outdated == f"0 of 2 replicas are of its template, because {found.keeps_pods}"
    assert (await fleet.workers.outline([fleet.ref()]))[0].unsettled == HELD
    changed = asyncio.create_task(fleet.workers.changed())
    state["spec"]["template"]["metadata"] = former
    await fleet.apply(state)
    await asyncio.wait_for(changed, SECONDS)
    while (await fleet.look()).unsettled is not None:
        await asyncio.wait_for(fleet.workers.changed(), SECONDS)


async def test_it_is_held_drained_and_scaled_back_and_nothing_of_that_stays(fleet: Fleet, tmp_path: Path) -> None:
    fleet.gvk = STATEFUL_SET
    slow = SlowWorkers(tmp_path)
    before = await fleet.roll_out(stateful(manifest(script=slow.script)))
    await slow.running(2)

    held = await fleet.hold()

    deployment = await fleet.deployment()
    assert (deployment["spec"]["replicas"], (await fleet.look()).note) == (0, note(2))
    assert held.images == before.images == {"main": "queue-recovery:test"}
    assert not (await fleet.look()).drained
    slow.end()
    await fleet.drained()
    assert await fleet.workers.scale_back(ref("worker", "StatefulSet"), held.uid, RUN) == 2
    assert (await fleet.await_rollout()).replicas == 2
    assert traces(await fleet.deployment()) == []


async def test_a_deployment_of_the_same_name_is_another_worker(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=1))
    fleet.gvk = STATEFUL_SET
    await fleet.apply(stateful(manifest(replicas=2)))

    await fleet.hold()

    refs = [ref("worker"), ref("worker", "StatefulSet")]
    assert [(one.ref, one.replicas, one.note) for one in await fleet.workers.look(refs)] == [
        (refs[0], 1, None),
        (refs[1], 0, note(2)),
    ]
    assert await fleet.workers.scale_back(refs[0], "another", RUN) is None


@pytest.mark.parametrize(
    ("templates", "when_scaled", "deletes"), [(1, "Delete", True), (1, "Retain", False), (0, "Delete", False)]
)
def test_volumes_that_a_scaling_to_0_would_delete_are_known(templates: int, when_scaled: str, *, deletes: bool) -> None:
    claims = {
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}] * templates,
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": when_scaled},
    }

    assert seen({**AT_ZERO, "spec": {**AT_ZERO["spec"], **claims}}).deletes_volumes is deletes
