"""What `docs/install.md` and the README say about Secrets, the image and upgrades, as the API server takes it."""

import re
import shlex
from pathlib import Path

import pytest

from tests import readme
from tests.manifests.conftest import ROOT, Cluster

PAGE = "docs/install.md"


def targets_of_the_readme() -> list[tuple[str, str]]:
    """Return the Secrets, with their keys, that the QueueTarget of the README names."""
    found = re.findall(r"urlSecretRef: \{name: (\w+), key: (\w+)\}", (ROOT / "README.md").read_text())
    return [(name, key) for name, key in found]


def test_the_readmes_commands_create_the_secrets_that_its_target_names(cluster: Cluster, name: str) -> None:
    cluster.kubectl("create", "namespace", name)
    for command in readme.commands("Install"):
        if command.startswith("kubectl create secret"):
            cluster.kubectl(*shlex.split(command.replace(" media ", f" {name} "))[1:])

    stored = cluster.read("secrets", "--namespace", name)["items"]
    assert [(each["metadata"]["name"], *each["data"]) for each in stored] == sorted(targets_of_the_readme())


def own_kustomization(folder: Path, heading: str, change: tuple[str, str] = ("", "")) -> Path:
    """Write the kustomization of a section, with a text of it changed, next to this repository; return its folder."""
    _, _, section = (ROOT / PAGE).read_text().partition(f"\n## {heading}\n")
    [text, *_] = re.findall(r"```yaml\n(# kustomization.yaml\n.*?)```", section, re.DOTALL)
    assert change[0] in text
    (folder / "kustomization.yaml").write_text(text.replace(*change))
    (folder / "queue-recovery").symlink_to(ROOT)
    return folder


def test_a_kustomization_of_ones_own_takes_the_image_from_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    rendered = cluster.kubectl("kustomize", str(own_kustomization(tmp_path, "The image")))

    images = re.findall(r"^ *image: (.*)$", rendered, re.MULTILINE)
    assert images == ["registry.example.com/queue-recovery:0.1.0"]


def test_new_pods_of_the_operator_log_in_at_a_registry_that_asks_for_it(cluster: Cluster) -> None:
    create, patch, restart = [line for line in readme.commands("The image", PAGE) if "-n queue-recovery" in line]
    for command in (create, patch, restart):
        cluster.kubectl(*shlex.split(command)[1:])

    account = cluster.read("serviceaccount", "queue-recovery", "--namespace=queue-recovery")
    secret = cluster.read("secret", "registry", "--namespace=queue-recovery")
    assert account["imagePullSecrets"] == [{"name": "registry"}]
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    account_of_pods = cluster.read("deployment", "queue-recovery", "--namespace=queue-recovery")
    assert account_of_pods["spec"]["template"]["spec"]["serviceAccountName"] == "queue-recovery"


@pytest.mark.parametrize("command", readme.commands("Upgrade", PAGE)[:1])
def test_an_upgrade_is_the_command_of_the_installation(command: str) -> None:
    assert command in readme.commands("Install")


def test_the_image_that_the_page_names_is_the_manifests() -> None:
    [image] = re.findall(r"image: (\S+)", (ROOT / "manifests" / "operator" / "deployment.yaml").read_text())

    assert f"`{image}`" in (ROOT / PAGE).read_text()
