"""The Helm chart renders the objects of the kustomize folders, and Helm itself takes it, packs it and installs it."""

import json
import re
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests import chart
from manifests.chart_values import SETTINGS, Values
from queue_recovery.controller.settings import Settings
from tests.manifests.conftest import ROOT, Cluster
from tests.manifests.helm import CHART, HelmError, Objects, helm, kustomized, rendered
from tests.manifests.test_install_page import own_kustomization

pytestmark = pytest.mark.timeout(900)  # the first time, Helm is built

NAMESPACE = ("Namespace", "", "queue-recovery")
KEEP = {"helm.sh/resource-policy": "keep"}
OPERATOR = ("Deployment", "queue-recovery", "queue-recovery")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for Helm's own files."""
    return tmp_path


def without_helms_own(objects: Objects) -> Objects:
    """Return the chart's objects without the one annotation that only Helm reads."""
    left = deepcopy(objects)
    for (kind, _, _), one in left.items():
        if kind == "CustomResourceDefinition":
            assert one["metadata"].pop("annotations") == KEEP
    return left


def namespaced(folder: Path, *names: str) -> Objects:
    """Return what `docs/install.md` applies for an operator of these namespaces."""
    watching = kustomized(own_kustomization(folder, "Named namespaces only", ("media,shop", ",".join(names))))
    tenant = kustomized("manifests/namespaced/tenant")
    granted = {
        (kind, name, binding): {**one, "metadata": {**one["metadata"], "namespace": name}}
        for name in names
        for (kind, _, binding), one in tenant.items()
    }
    return watching | granted


@pytest.mark.parametrize(
    ("values", "folders"),
    [
        ({}, ["manifests"]),
        pytest.param({"admission.enabled": True}, ["manifests", "manifests/admission"], marks=pytest.mark.thorough),
        ({"monitoring.enabled": True}, ["manifests", "manifests/monitoring"]),
        pytest.param({"networkPolicy.enabled": True}, ["manifests", "manifests/network"], marks=pytest.mark.thorough),
        pytest.param({"openshift.enabled": True}, ["manifests/openshift"], marks=pytest.mark.thorough),
        (
            {"openshift.enabled": True, "admission.enabled": True, "networkPolicy.enabled": True},
            ["manifests/openshift", "manifests/admission", "manifests/network"],
        ),
        ({"crds.enabled": False}, ["manifests/operator"]),
    ],
    ids=str,
)
def test_the_chart_renders_the_objects_of_the_folders(home: Path, values: dict[str, Any], folders: list[str]) -> None:
    expected: Objects = {}
    for folder in folders:
        expected |= kustomized(folder)
    del expected[NAMESPACE]

    assert without_helms_own(rendered(values, home)) == expected


@pytest.mark.parametrize("names", [("media",), ("media", "shop")], ids=str)
def test_for_named_namespaces_it_renders_what_the_page_applies(home: Path, tmp_path: Path, names: tuple[str]) -> None:
    expected = namespaced(tmp_path, *names)
    del expected[NAMESPACE]
    made = without_helms_own(rendered({"namespaces": names}, home))

    for objects in (expected, made):  # kustomize puts a variable that it has patched first
        [container] = objects[OPERATOR]["spec"]["template"]["spec"]["containers"]
        container["env"].sort(key=lambda variable: variable["name"])
    assert made == expected


def test_in_another_namespace_nothing_is_left_in_the_usual_one(home: Path) -> None:
    every = {"admission.enabled": True, "monitoring.enabled": True, "networkPolicy.enabled": True}

    usual = rendered(every, home)
    moved = rendered(every, home, namespace="ops")

    def places(objects: Objects) -> Iterator[Any]:
        for (kind, _, name), one in objects.items():
            subjects = [subject["namespace"] for subject in one.get("subjects", ())]
            accounts = re.findall(r"system:serviceaccount:([\w-]+):", json.dumps(one))
            yield (kind, name, one["metadata"].get("namespace"), *subjects, *accounts)

    assert [
        tuple("ops" if part == "queue-recovery" and number > 1 else part for number, part in enumerate(place))
        for place in places(usual)
    ] == list(places(moved))


def test_names_that_yaml_reads_as_something_else_stay_text(home: Path) -> None:
    names = ["123", "true", "null", "1e3"]
    values = {"namespaces": names, "priorityClassName": "123", "image.tag": "1e3", "networkPolicy.enabled": True}

    objects = rendered(values, home, namespace="456")

    found = {one["metadata"].get("namespace", "456") for one in objects.values()}
    found |= {subject["namespace"] for one in objects.values() for subject in one.get("subjects", ())}
    assert found == {"456", *names}
    template = objects["Deployment", "456", "queue-recovery"]["spec"]["template"]["spec"]
    assert template["priorityClassName"] == "123"
    assert template["containers"][0]["image"].endswith(":1e3")


def pod(home: Path, values: Mapping[str, object]) -> Any:  # noqa: ANN401 -- a part of any object
    return rendered(values, home)[OPERATOR]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "ghcr.io/queue-recovery/queue-recovery:0.1.0"),
        ({"image.repository": "registry.example.com/qr", "image.tag": "1"}, "registry.example.com/qr:1"),
        (
            {"image.tag": "1", "image.digest": f"sha256:{'0' * 64}"},
            f"ghcr.io/queue-recovery/queue-recovery@sha256:{'0' * 64}",
        ),
    ],
    ids=str,
)
def test_the_image_is_the_one_that_the_values_name(home: Path, values: dict[str, object], image: str) -> None:
    assert pod(home, values)["containers"][0]["image"] == image


def test_what_the_values_say_of_the_pod_is_in_it(home: Path) -> None:
    affinity: dict[str, Any] = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    }
    placed = {
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "affinity": affinity,
        "priorityClassName": "high",
    }
    resources = {"limits": {"memory": "1Gi"}}

    made = pod(home, {**placed, "resources.limits": resources["limits"], "image.pullPolicy": "Always"})

    assert {name: made[name] for name in placed} == placed
    assert made["containers"][0]["resources"]["limits"] == resources["limits"]
    assert made["containers"][0]["imagePullPolicy"] == "Always"


def test_every_setting_reaches_the_operator(home: Path) -> None:
    settings = {
        "logFormat": "console",
        "logLevel": "DEBUG",
        "metricsWithNames": True,
        "targetRefreshSeconds": 86400,
        "retentionIntervalSeconds": 2.5,
        "maxDraining": 1000,
        "leaseSeconds": 3600,
        "allowLocalAddresses": True,
        "allowedHosts": ["*.svc.cluster.local", "10.0.0.0/8"],
    }

    variables = {
        each["name"]: each["value"]
        for each in pod(home, {"settings": settings})["containers"][0]["env"]
        if "value" in each
    }
    read = Settings.model_validate(
        {name.removeprefix("QUEUE_RECOVERY_").lower(): value for name, value in variables.items()}
    ).model_dump(by_alias=False)

    assert len(settings) == len(SETTINGS)
    assert [json.loads(json.dumps(read[name])) for name in SETTINGS] == [
        settings[chart_name] for chart_name in map(camel, SETTINGS)
    ]


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def test_values_yaml_has_every_value_and_names_every_setting() -> None:
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)

    Values.model_validate({**values, "global": {}})
    defaults = yaml.safe_load(
        "\n".join(line.removeprefix("#") for line in re.findall(r"^#   \w.*", text, re.MULTILINE))
    )
    assert values["settings"] == {}
    assert list(defaults) == [camel(name) for name in SETTINGS]
    own = Settings.model_construct()
    assert {name: value for name, value in defaults.items() if name != "allowedHosts"} == {
        camel(name): getattr(own, name) for name in SETTINGS if name != "allowed_hosts"
    }


REFUSED: dict[str, tuple[object, str]] = {
    "replica": (3, "at '': additional properties 'replica' not allowed"),
    "replicas": ("3", "at '/replicas'"),
    "settings.logLvl": ("DEBUG", "at '/settings': additional properties 'logLvl' not allowed"),
    "settings.logLevel": ("VERBOSE", "at '/settings/logLevel'"),
    "settings.maxDraining": (0, "at '/settings/maxDraining'"),
    "image.name": ("x", "at '/image': additional properties 'name' not allowed"),
    "image.repository": ("registry.example.com/qr #", "at '/image/repository'"),
    "image.tag": ("1\nx", "at '/image/tag'"),
    "priorityClassName": ("high: {}", "at '/priorityClassName'"),
    "image.digest": ("latest", "at '/image/digest'"),
    "namespaces": (["Media"], "at '/namespaces/0'"),
    "monitoring.enabled": ("yes", "at '/monitoring/enabled'"),
    "networkPolicy.ports": (["http"], "at '/networkPolicy/ports/0'"),
}
"""Values that are wrong, and what Helm says of each."""


def test_each_value_that_the_chart_does_not_know_is_refused_by_name(home: Path) -> None:
    with pytest.raises(HelmError, match=r"values don't meet the specifications of the schema") as refused:
        rendered({name: value for name, (value, _) in REFUSED.items()}, home)

    assert [said for _, said in REFUSED.values() if said not in str(refused.value)] == []


def test_it_can_be_a_part_of_another_chart(home: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    (whole / "charts").mkdir(parents=True)
    (whole / "Chart.yaml").write_text("apiVersion: v2\nname: whole\nversion: 1.0.0\n")
    (whole / "values.yaml").write_text("global: {region: here}\nqueue-recovery: {replicas: 1}\n")
    (whole / "charts" / "queue-recovery").symlink_to(CHART)

    text = helm("template", "whole", str(whole), "-n", "queue-recovery", home=home)

    assert "replicas: 1 " in text


def test_helm_finds_nothing_to_complain_about(home: Path) -> None:
    said = helm("lint", "--strict", str(CHART), "--set", "namespaces={media}", home=home)

    assert "[WARNING]" not in said
    assert "[ERROR]" not in said
    assert re.findall(r"\[INFO\] (.*)", said) in ([], ["Chart.yaml: icon is recommended"])


def test_a_kubernetes_that_is_too_old_is_refused(home: Path) -> None:
    with pytest.raises(HelmError, match=r"requires kubeVersion: >=1\.30"):
        rendered({}, home, "--kube-version=1.29.0")


def test_the_package_has_the_chart_and_nothing_else(home: Path, tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path), home=home)

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    with tarfile.open(tmp_path / f"queue-recovery-{version}.tgz") as packed:
        names = {name.removeprefix("queue-recovery/") for name in packed.getnames()}
    tracked = {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_file()}
    assert names == tracked - {".helmignore"} | ({".helmignore"} & names)


def test_chart_and_package_are_of_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (about["version"], about["appVersion"]) == (version, version)


def test_every_template_is_generated_from_the_folders() -> None:
    generated = {name for name in chart.contents() if name.startswith("templates/")}

    assert {f"templates/{path.name}" for path in (CHART / "templates").iterdir()} == generated | {"templates/NOTES.txt"}


def test_a_manifest_that_has_lost_what_a_value_decides_stops_the_generator() -> None:
    with pytest.raises(chart.ChartError, match=r"Deployment: .*replicas.* matches 0 times"):
        chart.templated("Deployment", "kind: Deployment\nmetadata:\n  name: x\n")


def test_the_api_server_takes_all_of_it(cluster: Cluster, home: Path) -> None:
    every = {"admission.enabled": True, "networkPolicy.enabled": True, "namespaces": ["default"]}
    objects = list(rendered(every, home).values())

    said = cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f-"),
        given={"apiVersion": "v1", "kind": "List", "items": objects},
    )

    assert len(said.splitlines()) == len(objects)


@pytest.mark.thorough
def test_a_second_operator_is_installed_beside_the_first_upgraded_and_uninstalled(
    cluster: Cluster, home: Path, namespace: str
) -> None:
    """It has the cluster-wide objects of the first one, and leaves them there."""
    beside = {"namespaces": [namespace], "crds.enabled": False, "clusterRoles.enabled": False}
    install = ("upgrade", "--install", "queue-recovery", str(CHART), "-n", namespace)
    command = [
        *install,
        *(part for name, value in beside.items() for part in ("--set-json", f"{name}={json.dumps(value)}")),
    ]

    said = helm(*command, home=home, kubeconfig=cluster.kubeconfig)
    assert f"It watches {namespace}." in said
    helm(*command, "--set", "replicas=3", home=home, kubeconfig=cluster.kubeconfig)
    assert cluster.read("deployment", "queue-recovery", "-n", namespace)["spec"]["replicas"] == 3
    account = f"--as=system:serviceaccount:{namespace}:queue-recovery"
    assert cluster.answer("auth", "can-i", "list", "queuerecoveries", "-n", namespace, account) == "yes"
    assert cluster.answer("auth", "can-i", "patch", "deployments.apps", "-n", namespace, account) == "yes"
    assert cluster.answer("auth", "can-i", "list", "queuerecoveries", "-A", account) == "no"

    helm("uninstall", "queue-recovery", "-n", namespace, home=home, kubeconfig=cluster.kubeconfig)
    assert (
        cluster.kubectl(
            "get",
            "deployment,rolebinding,serviceaccount",
            "-n",
            namespace,
            "-l",
            "app.kubernetes.io/name=queue-recovery",
            "-o",
            "name",
        )
        == ""
    )
    assert cluster.read("clusterrole", "queue-recovery")
