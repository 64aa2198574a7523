"""A Rollout of Argo Rollouts is stopped and scaled back as a Deployment is, but not in the middle of an update."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from queue_recovery.api.worker_ref import KNOWN_KINDS, ROLLOUT
from queue_recovery.recovery.ports import Worker
from queue_recovery.workers import snapshot
from queue_recovery.workers.kinds import KINDS
from queue_recovery.workers.objects import TEMPLATE_HASH, Pod, ReplicaSet
from queue_recovery.workers.observed import NOT_OBSERVED
from queue_recovery.workers.workloads import Rollout
from sandbox.api import Json
from tests import rollouts
from tests.rollouts import RolloutsController, rollout
from tests.workers.fleet import RUN, Fleet, SlowWorkers, manifest, note
from tests.workers.test_rollout_restart import restarted
from tests.workers.test_scale_back import traces
from tests.workers.test_scale_back_script import run_script

SPEC: Json = {
    "replicas": 2,
    "selector": {"matchLabels": {"app": "worker"}},
    "template": {"spec": {"containers": [{"name": "main", "image": "tts:1"}]}},
    "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}},
}
STATUS: Json = {
    "observedGeneration": "4",
    "replicas": 2,
    "updatedReplicas": 2,
    "availableReplicas": 2,
    "stableRS": "a",
    "currentPodHash": "a",
    "currentStepIndex": 2,
}
ZERO: Json = {"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0}
CANARY: Json = {"currentPodHash": "b", "currentStepIndex": 1, "pauseConditions": [{"reason": "CanaryPauseStep"}]}
WITHOUT_PODS = ", and at 0 replicas the update would go on without pods"
ABORTED = "its update was aborted, so its pods are not of its template"


def object_of(kind: str, name: str, owner: tuple[str, str] | None = None, labels: Json | None = None) -> Json:
    owners = [] if owner is None else [{"kind": owner[0], "uid": owner[1], "controller": True}]
    metadata = {"name": name, "uid": name, "resourceVersion": "8", "ownerReferences": owners, "labels": labels or {}}
    return {"kind": kind, "metadata": metadata}


def replica_set(name: str, template_hash: str, owner: tuple[str, str] = ("Rollout", "r"), **fields: Json) -> ReplicaSet:
    made = object_of("ReplicaSet", name, owner, {TEMPLATE_HASH: template_hash})
    return ReplicaSet.model_validate({**made, "spec": {"replicas": 0}, "status": {}, **fields})


def pod(owner: str, labels: Json | None = None) -> Pod:
    made = object_of("Pod", "p", ("ReplicaSet", owner), labels or {"app": "worker"})
    return Pod.model_validate({**made, "status": {"phase": "Running"}})


def seen(spec: Json, status: Json, replica_sets: Sequence[ReplicaSet] = (), pods: Sequence[Pod] = ()) -> Worker:
    """Return a Rollout with these fields besides those of one that is rolled out."""
    found = {
        "apiVersion": ROLLOUT.api_version,
        "kind": ROLLOUT.kind,
        "metadata": {"name": "worker", "uid": "r", "resourceVersion": "7", "generation": 4},
        "spec": {**SPEC, **spec},
        "status": {**STATUS, **status},
    }
    parsed = Rollout.model_validate(found)
    return snapshot.worker(parsed, [parsed], replica_sets, pods)


@pytest.mark.parametrize(
    ("spec", "status", "waits_for", "unsettled"),
    [
        ({}, {}, None, None),
        ({}, {"observedGeneration": "3"}, NOT_OBSERVED, NOT_OBSERVED),
        ({}, {"observedGeneration": "5f8c7d"}, NOT_OBSERVED, NOT_OBSERVED),
        ({"replicas": 0}, {"observedGeneration": "3"}, NOT_OBSERVED, None),
        ({}, {"updatedReplicas": 1}, "1 of 2 new replicas have been updated", None),
        ({}, {"replicas": 3}, "1 old replica pending termination", None),
        ({}, {"availableReplicas": 1}, "1 of 2 updated replicas are available", None),
        ({}, {"conditions": [{"type": "InvalidSpec"}]}, "its controller calls its spec invalid", None),
        (
            {},
            CANARY,
            "it is in a canary update at step 1 of 2, paused (CanaryPauseStep)",
            f"it is in a canary update at step 1 of 2, paused (CanaryPauseStep){WITHOUT_PODS}",
        ),
        (
            {"replicas": 0},
            {**CANARY, **ZERO, "pauseConditions": []},
            "it is in a canary update at step 1 of 2",
            f"it is in a canary update at step 1 of 2{WITHOUT_PODS}",
        ),
        (
            {"strategy": {"blueGreen": {"activeService": "x"}}},
            {"currentPodHash": "b"},
            "it is in a blue-green update",
            f"it is in a blue-green update{WITHOUT_PODS}",
        ),
        ({}, {**CANARY, "abort": True, "pauseConditions": []}, ABORTED, ABORTED),
        # The first version, whose pods may never have become available: there is nothing that it updates.
        ({}, {"stableRS": "", "availableReplicas": 0}, "0 of 2 updated replicas are available", None),
        ({"paused": True}, {}, None, "it is paused, so its controller neither stops nor starts pods"),
        (
            {"restartAt": "2030-01-01T00:00:00Z"},
            {},
            "not every pod has been restarted since 2030-01-01T00:00:00Z",
            None,
        ),
        (
            {"restartAt": "2030-01-01T01:00:00+01:00"},
            {"restartedAt": "2030-01-01T00:00:00Z"},
            None,
            None,
        ),
    ],
)
def test_what_its_rollout_waits_for_and_when_it_must_not_be_stopped(
    spec: Json, status: Json, waits_for: str | None, unsettled: str | None
) -> None:
    found = seen(spec, status)

    assert (found.rollout, found.unsettled) == (waits_for, unsettled)


AT_0 = ({"replicas": 0}, ZERO)


def test_it_is_drained_once_its_controller_has_observed_0_and_neither_replica_sets_nor_pods_are_left() -> None:
    own = [replica_set("old", "x"), replica_set("new", "a")]

    assert seen(*AT_0, own).drained
    assert not seen(AT_0[0], {**ZERO, "observedGeneration": "3"}, own).drained
    assert not seen(AT_0[0], {**ZERO, "replicas": 1}, own).drained
    assert not seen(*AT_0, [*own, replica_set("canary", "b", spec={"replicas": 1})]).drained
    assert not seen(*AT_0, [*own, replica_set("canary", "b", status={"replicas": 1})]).drained
    for name in ("old", "new"):
        assert not seen(*AT_0, own, [pod(name)]).drained


def test_pods_of_an_experiment_are_its_own_and_those_of_other_replica_sets_are_not() -> None:
    experiment = replica_set("experiment", "b", ("Experiment", "e"))
    other = replica_set("other", "b", ("Rollout", "o"))

    assert not seen(*AT_0, [experiment], [pod("experiment")]).drained
    assert seen(*AT_0, [experiment], [pod("experiment", {"app": "other"})]).drained
    assert seen(*AT_0, [other], [pod("other")]).drained
    assert not seen(*AT_0, [], [pod("deleted")]).drained


def test_with_a_workload_ref_images_and_grace_period_are_those_of_its_replica_sets() -> None:
    def template(image: str, grace: int) -> Json:
        containers = [{"name": "main", "image": image}]
        return {"replicas": 2, "template": {"spec": {"containers": containers, "terminationGracePeriodSeconds": grace}}}

    own = [
        replica_set("old", "x", spec=template("tts:0", 900)),
        replica_set("new", "a", spec=template("tts:2", 60)),
    ]
    reference = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tts"}, "template": {}}

    found = seen({**reference, "selector": {}}, {}, own)

    assert (found.images, found.grace_seconds) == ({"main": "tts:2"}, 900)
    assert seen({}, {}, own).images == {"main": "tts:1"}


def test_every_known_kind_has_a_row() -> None:
    assert KINDS.keys() == KNOWN_KINDS


@pytest.fixture
async def fleet_of_rollouts(fleet: Fleet) -> AsyncIterator[Fleet]:
    """A namespace with Rollouts and their controller."""
    await rollouts.define(fleet.api, rollouts.CRD)
    fleet.gvk = ROLLOUT
    async with RolloutsController(fleet.api, fleet.namespace).running():
        yield fleet


async def test_it_is_held_drained_and_scaled_back_and_nothing_of_that_stays(
    fleet_of_rollouts: Fleet, tmp_path: Path
) -> None:
    fleet, slow = fleet_of_rollouts, SlowWorkers(tmp_path)
    before = await fleet.roll_out(rollout(manifest(script=slow.script)))
    await slow.running(2)

    held = await fleet.hold()

    assert ((await fleet.deployment())["spec"]["replicas"], (await fleet.look()).note) == (0, note(2))
    assert held.images == before.images == {"main": "queue-recovery:test"}
    assert not (await fleet.look()).drained
    slow.end()
    await fleet.drained()
    assert await fleet.workers.scale_back(fleet.ref(), held.uid, RUN) == 2
    assert (await fleet.await_rollout()).replicas == 2
    assert traces(await fleet.deployment()) == []


async def test_the_end_of_an_update_wakes_who_waits_for_it_though_no_generation_changes(
    fleet_of_rollouts: Fleet,
) -> None:
    fleet = fleet_of_rollouts
    await fleet.roll_out(rollout(manifest(), {"setWeight": 50}, {"pause": {}}))
    await fleet.apply(rollout(manifest(progressDeadlineSeconds=9), {"setWeight": 50}, {"pause": {}}))
    template = {"metadata": {"annotations": {"version": "2"}}}
    generation = (await fleet.patch({"spec": {"template": template}}))["metadata"]["generation"]
    while "paused" not in ((await fleet.workers.outline([fleet.ref()]))[0].unsettled or ""):
        await fleet.workers.changed()

    changed = asyncio.ensure_future(fleet.workers.changed())
    await fleet.resume()
    while (await fleet.workers.outline([fleet.ref()]))[0].unsettled is not None:
        await changed
        changed = asyncio.ensure_future(fleet.workers.changed())

    assert (await fleet.deployment())["metadata"]["generation"] == generation
    changed.cancel()
    with suppress(asyncio.CancelledError):
        await changed


async def test_a_restart_sets_the_time_and_leaves_the_template_alone(fleet_of_rollouts: Fleet) -> None:
    fleet = fleet_of_rollouts
    await fleet.roll_out(rollout(manifest()))
    before = (await fleet.deployment())["spec"]["template"]

    await restarted(fleet, "2026-01-01T00:00:00Z")

    now = await fleet.deployment()
    assert (now["spec"]["restartAt"], now["spec"]["template"]) == ("2026-01-01T00:00:00Z", before)
    assert (await fleet.look()).restarted_at == "2026-01-01T00:00:00Z"
    assert traces(now) == []


async def test_without_an_operator_the_script_scales_it_back_too(fleet_of_rollouts: Fleet) -> None:
    fleet = fleet_of_rollouts
    await fleet.roll_out(rollout(manifest()))
    await fleet.hold()

    assert await run_script(fleet) == (0, f"{fleet.namespace}/worker: scaled back to 2\n")

    now = await fleet.deployment()
    assert (now["spec"]["replicas"], traces(now)) == (2, [])
