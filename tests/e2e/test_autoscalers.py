"""Workers that something scales: KEDA's operator (a double of it) and the real HorizontalPodAutoscaler controller."""

import json

import pytest

from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID
from queue_recovery.workers.autoscaler_objects import PAUSED, PAUSED_BY, PAUSED_REPLICAS, PAUSED_REPLICAS_BEFORE
from sandbox.api import Json
from sandbox.processes import until
from tests import readme
from tests.e2e.team import Team, condition, envelope
from tests.keda import Keda, scaled_object

FORMER: dict[str, dict[str, str]] = {
    "unpaused": {},
    "paused by the user": {PAUSED: "true"},
    "paused at 1": {PAUSED_REPLICAS: "1"},
}


def keda(team: Team) -> Keda:
    """Return KEDA, scaling on the length of the queue."""

    async def is_active() -> bool:
        return bool(await team.redis.exists("work"))

    return Keda(team.api, team.namespace, is_active)


async def paused(team: Team) -> Json:
    """Wait until a recovery has paused the ScaledObject."""

    async def noted() -> Json | None:
        found = await team.get("ScaledObject", "worker-scaler")
        return found if HELD_BY in found["metadata"].get("labels", {}) else None

    return await until(noted, "the ScaledObject to be paused")


@pytest.mark.parametrize(
    "former", ["unpaused", *(pytest.param(one, marks=pytest.mark.thorough) for one in FORMER if one != "unpaused")]
)
async def test_keda_scales_nothing_while_the_workers_are_at_0_and_is_as_before_in_the_end(
    team: Team, former: str
) -> None:
    await team.stubborn_workers(replicas=1)
    await team.target()
    await team.redis.lpush("work", envelope("stuck"))
    scaler = scaled_object(annotations=FORMER[former])
    await team.apply(scaler)
    async with keda(team).running() as scaling:
        await team.recovery(jobs=[])
        await team.waits("Draining")
        if former != "paused by the user":
            await paused(team)
        async with team.workers_end():
            status = await team.reached("Succeeded")

    assert scaling.scaled == []
    metadata = (await team.get("ScaledObject", "worker-scaler"))["metadata"]
    assert metadata.get("annotations", {}) == scaler["metadata"]["annotations"]
    assert metadata.get("labels", {}) == {}
    assert not any(entry["manager"] == "queue-recovery" for entry in metadata["managedFields"])
    assert [one["name"] for one in status.get("scaledObjects", [])] == (
        [] if former == "paused by the user" else ["worker-scaler"]
    )
    assert await team.replicas() == 1


@pytest.mark.thorough
async def test_without_an_operator_the_script_gives_keda_its_former_pause_back(team: Team) -> None:
    await team.stubborn_workers(replicas=1)
    await team.target()
    await team.apply(scaled_object(annotations={PAUSED_REPLICAS: "1"}))
    await team.recovery()
    held = await paused(team)
    uid = held["metadata"]["labels"][HELD_BY_UID]
    assert (held["metadata"]["annotations"], held["metadata"]["labels"][HELD_BY]) == (
        {PAUSED: "true", PAUSED_REPLICAS_BEFORE: "1", PAUSED_BY: f"stuck/{uid}"},
        "stuck",
    )
    async with team.workers_end():
        await team.reached("Succeeded")
    odd = scaled_object("odd", {PAUSED: '"no" \\ boolean'})
    await team.apply(odd, scaled_object("paused-since", {PAUSED_REPLICAS: "4"}), scaled_object("plain"))
    await _hold(team, odd["metadata"]["annotations"], "odd")
    await _hold(team, {"autoscaling.keda.sh/paused-replicas": "4"}, "paused-since")
    await team.kubectl("annotate", "scaledobject", "paused-since", f"{PAUSED_REPLICAS}=2")
    await _hold(team, {}, "plain")

    code, output = await readme.run(
        f"sh manifests/scale-back.sh -n {team.namespace}",
        kubeconfig=team.sandbox.kubeconfig,
        kubectl=team.sandbox.kubectl_program,
    )

    assert code == 0, output
    assert sorted(output.splitlines()) == [
        f"{team.namespace}/{name}: ScaledObject has its former pause back" for name in ("odd", "paused-since", "plain")
    ]
    found = {name: (await team.get("ScaledObject", name))["metadata"] for name in ("odd", "paused-since", "plain")}
    assert found["odd"]["annotations"] == odd["metadata"]["annotations"]
    assert found["paused-since"]["annotations"] == {PAUSED_REPLICAS: "2"}
    assert found["plain"].get("annotations", {}) == {}
    for metadata in found.values():
        assert metadata.get("labels", {}) == {}
        assert not any(entry["manager"] == "queue-recovery" for entry in metadata["managedFields"])


async def _hold(team: Team, former: dict[str, str], name: str) -> None:
    """Pause a ScaledObject as the operator does, for a recovery that nobody finishes."""
    before = {f"queuerecovery.dev/{key.partition('/')[2]}-before": value for key, value in former.items()}
    uid = "0d5f7c1e-7f5e-4e0e-9d43-2a1c5f2d9b11"
    annotations = {**dict.fromkeys(former), PAUSED: "true", PAUSED_BY: f"gone/{uid}", **before}
    labels = {HELD_BY: "gone", HELD_BY_UID: uid}
    body = {"metadata": {"annotations": annotations, "labels": labels}}
    await team.kubectl(
        "patch", "scaledobject", name, "--type=merge", "--field-manager=queue-recovery", "-p", json.dumps(body)
    )


async def test_an_autoscaler_of_at_least_1_replica_leaves_the_workers_at_0_and_scales_them_afterwards(
    team: Team,
) -> None:
    await team.stubborn_workers(replicas=2)
    await team.target()
    await team.kubectl("autoscale", "deployment", "worker", "--min=2", "--max=4", "--cpu=80%")

    async def says(reason: str) -> bool:
        found = json.loads(await team.kubectl("get", "hpa", "worker", "--output=json"))
        return condition(found.get("status", {}), "ScalingActive").get("reason") == reason

    await until(lambda: says("FailedGetResourceMetric"), "the autoscaler to look at its Deployment")
    await team.recovery()
    await until(lambda: says("ScalingDisabled"), "the autoscaler to be off")
    assert await team.replicas() == 0
    async with team.workers_end():
        await team.reached("Succeeded")

    assert await team.replicas() == 2
    await until(lambda: says("FailedGetResourceMetric"), "the autoscaler to be on again")
