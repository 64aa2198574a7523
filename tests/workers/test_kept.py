"""What is kept of a namespace's objects is little, no matter what their authors write into them."""

from queue_recovery.api.worker_ref import ROLLOUT
from queue_recovery.recovery.ports import HELD_BY, MOST_CHARACTERS_OF_IMAGES
from queue_recovery.workers.objects import MOST_CONTAINERS, Pod, ReplicaSet
from queue_recovery.workers.workloads import Rollout

MUCH = {f"example.com/{number}": "x" * 50 for number in range(2000)}
OWNERS = [{"uid": f"{number}", "kind": "Many"} for number in range(2000)]
MANAGERS = [{"manager": f"m-{number}", "operation": "Apply", "fieldsV1": {"f:data": MUCH}} for number in range(50)]
METADATA = {
    "name": "worker",
    "uid": "u",
    "resourceVersion": "7",
    "annotations": MUCH,
    "labels": {**MUCH, HELD_BY: "stuck"},
    "ownerReferences": [*OWNERS, {"uid": "owner", "kind": "Deployment", "controller": True}],
    "managedFields": [*MANAGERS, {"manager": "flux", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
}
CONTAINERS = [{"name": f"c-{number}", "image": "x" * 20_000, "env": [MUCH]} for number in range(2 * MOST_CONTAINERS)]
TEMPLATE = {"metadata": {"annotations": MUCH, "labels": MUCH}, "spec": {"containers": CONTAINERS}}


def test_of_a_worker_only_what_the_steps_read_is_kept() -> None:
    found = Rollout.model_validate(
        {
            "apiVersion": ROLLOUT.api_version,
            "kind": ROLLOUT.kind,
            "metadata": METADATA,
            "spec": {
                "template": TEMPLATE,
                "strategy": {"canary": {"steps": [{"setWeight": 5, **MUCH}]}, "blueGreen": MUCH},
                "workloadRef": MUCH,
                "volumeClaimTemplates": [MUCH],
            },
        }
    )

    assert found.metadata.labels == {HELD_BY: "stuck"}
    assert found.metadata.replicas_applied_by == ("flux",)
    assert found.metadata.controller is not None
    assert (len(found.spec.strategy.canary.steps), found.deletes_volumes) == (1, False)
    containers = found.spec.template.spec.containers
    assert {len(one.image) for one in containers} == {MOST_CHARACTERS_OF_IMAGES + 1}
    assert len(containers) == MOST_CONTAINERS
    assert "example.com" not in found.model_dump_json()


def test_of_a_replica_set_and_of_a_pod_too() -> None:
    replica_set = ReplicaSet.model_validate({"metadata": METADATA, "spec": {"template": TEMPLATE}})
    pod = Pod.model_validate({"metadata": METADATA, "spec": TEMPLATE["spec"], "status": {"phase": "Running"}})

    assert "example.com" not in replica_set.model_dump_json()
    assert pod.metadata.labels == METADATA["labels"]
    assert len(pod.model_copy(update={"metadata": None}).model_dump_json()) < 1000
    assert (len(pod.metadata.annotations), len(pod.metadata.owner_references)) == (0, 1)
