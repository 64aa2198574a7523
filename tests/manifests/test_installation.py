"""The manifests as `kubectl apply -k` takes them, and what they say about the operator's pod."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from queue_recovery.controller.settings import Settings
from tests.manifests.conftest import ROOT, Cluster

NAMESPACE = "--namespace=queue-recovery"


@pytest.fixture
def deployment(cluster: Cluster) -> dict[str, Any]:
    """The operator's Deployment, as the API server has it."""
    found: dict[str, Any] = cluster.read("deployment", "queue-recovery", NAMESPACE)
    return found


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def pod(deployment: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Return a pod as the Deployment would make it."""
    template = deployment["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sample", "labels": template["metadata"]["labels"]},
        "spec": {**template["spec"], **changes},
    }


def test_applying_the_manifests_again_changes_nothing(cluster: Cluster) -> None:
    lines = cluster.kubectl("apply", "-k", "manifests").splitlines()

    assert len(lines) > 10
    assert [line for line in lines if not line.endswith(" unchanged")] == []


def test_the_definitions_can_be_applied_by_themselves(cluster: Cluster) -> None:
    rendered = list(yaml.safe_load_all(cluster.kubectl("kustomize", "crds")))

    assert sorted(part["spec"]["names"]["kind"] for part in rendered) == ["QueueRecovery", "QueueTarget"]


def test_the_operator_can_be_applied_without_the_definitions(cluster: Cluster) -> None:
    def objects(folder: str) -> set[tuple[str, str]]:
        rendered = yaml.safe_load_all(cluster.kubectl("kustomize", folder))
        return {(part["kind"], part["metadata"]["name"]) for part in rendered}

    assert objects("manifests") == objects("manifests/operator") | objects("crds")
    assert "CustomResourceDefinition" not in {kind for kind, _ in objects("manifests/operator")}


def test_what_the_uninstallation_finds_by_its_label_has_it(cluster: Cluster) -> None:
    rendered = list(yaml.safe_load_all(cluster.kubectl("kustomize", "manifests/operator")))

    assert {part["metadata"]["labels"].get("app.kubernetes.io/name") for part in rendered} == {"queue-recovery"}


def test_the_namespace_takes_the_operators_pod_under_the_restricted_standard(
    cluster: Cluster, deployment: dict[str, Any]
) -> None:
    labels = cluster.read("namespace", "queue-recovery")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "created" in cluster.kubectl("create", "--dry-run=server", NAMESPACE, "-f", "-", given=pod(deployment))


def test_it_runs_as_the_images_user_and_not_in_the_group_of_root(deployment: dict[str, Any]) -> None:
    (user, group) = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    context = deployment["spec"]["template"]["spec"]["securityContext"]

    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))


def test_on_openshift_no_user_is_named_and_all_else_is_the_same(cluster: Cluster) -> None:
    def rendered(folder: str) -> list[Any]:
        return list(yaml.safe_load_all(cluster.kubectl("kustomize", folder)))

    def context(parts: list[Any]) -> Any:  # noqa: ANN401  # a part of any object
        (operator,) = (part for part in parts if part["kind"] == "Deployment")
        return operator["spec"]["template"]["spec"]["securityContext"]

    ordinary, openshift = rendered("manifests"), rendered("manifests/openshift")
    assert context(openshift) == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for name in ("runAsUser", "runAsGroup"):
        del context(ordinary)[name]
    assert openshift == ordinary


@pytest.mark.parametrize(
    "loosened", [{"hostNetwork": True}, {"securityContext": {"runAsNonRoot": False}}, {"securityContext": {}}]
)
def test_a_pod_with_less_is_refused_there(
    cluster: Cluster, deployment: dict[str, Any], loosened: dict[str, Any]
) -> None:
    refusal = cluster.refusal("create", "--dry-run=server", NAMESPACE, "-f", "-", given=pod(deployment, **loosened))

    assert 'violates PodSecurity "restricted:latest"' in refusal


def test_the_pod_cannot_write_to_its_image_and_has_its_memory_bounded(deployment: dict[str, Any]) -> None:
    made = container(deployment)

    assert made["securityContext"]["readOnlyRootFilesystem"] is True
    assert made["resources"]["limits"]["memory"]
    assert set(made["resources"]["requests"]) == {"cpu", "memory"}


def test_a_second_replica_stands_by_also_while_a_new_version_rolls_out(deployment: dict[str, Any]) -> None:
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_every_variable_that_is_set_is_a_setting(deployment: dict[str, Any]) -> None:
    names = {variable["name"].removeprefix("QUEUE_RECOVERY_").lower() for variable in container(deployment)["env"]}

    assert {"pod_name", "pod_namespace", "service_account"} <= names
    assert names <= set(Settings.model_fields)


def test_the_probes_and_the_service_ask_the_port_that_the_operator_opens(
    cluster: Cluster, deployment: dict[str, Any]
) -> None:
    made = container(deployment)
    variables = {variable["name"]: variable.get("value") for variable in made["env"]}
    (port,) = made["ports"]
    (served,) = cluster.read("service", "queue-recovery", NAMESPACE)["spec"]["ports"]

    assert (port["name"], str(port["containerPort"])) == ("http", variables["QUEUE_RECOVERY_HTTP_PORT"])
    assert served["targetPort"] == "http"
    assert {made[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")} == {"/healthz"}
    assert made["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert made[probe]["httpGet"]["port"] == "http"


def test_the_service_selects_the_operators_pod(cluster: Cluster, deployment: dict[str, Any]) -> None:
    selector = cluster.read("service", "queue-recovery", NAMESPACE)["spec"]["selector"]

    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_container_starts_the_packages_command(deployment: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    (command,) = container(deployment)["command"]
    assert command in project["scripts"]
    assert "args" not in container(deployment)


def test_image_manifest_and_package_are_of_one_version(deployment: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert container(deployment)["image"].endswith(f":{version}")
    assert re.findall(r"^ARG VERSION=(.*)$", dockerfile, re.MULTILINE) == [version]
