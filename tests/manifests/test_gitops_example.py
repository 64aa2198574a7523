"""`examples/gitops`: the API server takes what is ours, and what is for Argo CD and Flux fits to the layout.

Their own definitions are not in this control plane.
"""

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.target import QueueTargetSpec
from tests.manifests.conftest import ROOT, Cluster
from tests.manifests.helm import Objects, kustomized

EXAMPLE = ROOT / "examples" / "gitops"
APPLICATION, RECOVERIES = "apps/media", "apps/media/recoveries"


def of(kind: str, objects: Objects) -> Any:  # noqa: ANN401 -- any Kubernetes object
    [found] = [one for (its_kind, _, _), one in objects.items() if its_kind == kind]
    return found


def documents(path: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLE / path).read_text()))


@pytest.fixture(scope="module")
def everything() -> Objects:
    return kustomized(EXAMPLE / APPLICATION) | kustomized(EXAMPLE / RECOVERIES)


def test_the_api_server_takes_the_application_and_the_recovery(
    cluster: Cluster, namespace: str, everything: Objects
) -> None:
    for (kind, its_namespace, _), one in everything.items():
        if kind == "Namespace":
            continue
        assert its_namespace == "media"
        one["metadata"]["namespace"] = namespace
        cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f-", given=one)


def test_applied_again_on_the_clients_side_nothing_differs_as_it_would_if_a_list_had_defaults(
    cluster: Cluster, namespace: str, everything: Objects
) -> None:
    ours = [of(kind, everything) for kind in ("QueueTarget", "QueueRecovery")]
    for one in ours:
        one["metadata"]["namespace"] = namespace
        cluster.kubectl("apply", "-f-", given=one)

    for one in ours:
        assert "unchanged" in cluster.kubectl("apply", "-f-", given=one)


def test_the_recovery_requires_the_image_that_is_committed_beside_it(everything: Objects) -> None:
    worker = of("Deployment", everything)
    [container] = worker["spec"]["template"]["spec"]["containers"]
    spec = QueueRecoverySpec.model_validate(of("QueueRecovery", everything)["spec"])

    assert spec.restart.require_image
    for required in spec.restart.require_image:
        assert required.name == worker["metadata"]["name"]
        assert fnmatchcase(container["image"], required.image)


def test_the_target_lists_the_recoverys_queue_and_its_workers_and_git_has_no_replicas(everything: Objects) -> None:
    target = QueueTargetSpec.model_validate(of("QueueTarget", everything)["spec"])
    recovery = of("QueueRecovery", everything)["spec"]
    worker = of("Deployment", everything)

    [queue] = [each for each in target.queues if each.name == recovery["queue"]]
    assert [each.name for each in queue.workers] == [worker["metadata"]["name"]]
    assert recovery["targetRef"]["name"] == of("QueueTarget", everything)["metadata"]["name"]
    assert "replicas" not in worker["spec"]


def test_the_access_that_it_grants_is_the_one_of_manifests_tenant(everything: Objects) -> None:
    [granted] = kustomized("manifests/tenant").values()
    example = of("RoleBinding", everything)

    assert {key: example[key] for key in ("roleRef", "subjects")} == {
        key: granted[key] for key in ("roleRef", "subjects")
    }
    assert example["metadata"]["name"] == granted["metadata"]["name"]


def test_argo_cd_syncs_both_folders_and_leaves_replicas_alone() -> None:
    applications = {one["spec"]["source"]["path"]: one["spec"] for one in documents("clusters/argocd/media.yaml")}

    assert set(applications) == {APPLICATION, RECOVERIES}
    assert applications[APPLICATION]["ignoreDifferences"] == [
        {"group": "apps", "kind": kind, "jsonPointers": ["/spec/replicas"]} for kind in ("Deployment", "StatefulSet")
    ]
    assert "RespectIgnoreDifferences=true" in applications[APPLICATION]["syncPolicy"]["syncOptions"]


def test_flux_syncs_both_folders_and_waits_for_as_long_as_a_recovery_may_take() -> None:
    source, *kustomizations = documents("clusters/flux/media.yaml")
    by_path = {os.path.normpath(one["spec"]["path"]): one["spec"] for one in kustomizations}

    assert set(by_path) == {APPLICATION, RECOVERIES}
    for spec in by_path.values():
        assert spec["sourceRef"] == {"kind": source["kind"], "name": source["metadata"]["name"]}
    limits = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", "jobs": []})
    hours = int(by_path[RECOVERIES]["timeout"].removesuffix("h"))
    assert hours * 3600 > limits.starting_deadline_seconds + limits.active_deadline_seconds


def test_every_file_of_the_example_is_used() -> None:
    listed = {
        EXAMPLE / folder / name
        for folder in (APPLICATION, RECOVERIES)
        for name in documents(f"{folder}/kustomization.yaml")[0]["resources"]
    }
    clusters = set((EXAMPLE / "clusters").rglob("*.yaml"))
    kustomizations = set(EXAMPLE.rglob("kustomization.yaml"))

    assert listed | clusters | kustomizations == {Path(path) for path in EXAMPLE.rglob("*.yaml")}
