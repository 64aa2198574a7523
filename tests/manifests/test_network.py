"""The NetworkPolicy is one that the API server takes, and it is about the operator's pods and their port.

No network plugin enforces it in these tests.
"""

import re
from typing import Any

import pytest
import yaml

from tests.manifests.conftest import ROOT, Cluster


@pytest.fixture
def policy(cluster: Cluster) -> Any:  # noqa: ANN401 -- any Kubernetes object
    """It, as the API server has it."""
    cluster.kubectl("apply", "-k", "manifests/network")
    yield cluster.read("networkpolicy", "queue-recovery", "-n", "queue-recovery")
    cluster.kubectl("delete", "-k", "manifests/network")


def test_it_selects_the_operators_pods_and_lets_metrics_be_read_by_the_ports_name(policy: dict[str, Any]) -> None:
    documents = yaml.safe_load_all((ROOT / "manifests/operator/deployment.yaml").read_text())
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]
    ports = [port["name"] for container in pod["spec"]["containers"] for port in container["ports"]]

    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]] == ports


def test_no_link_local_address_is_among_those_that_it_lets_the_operator_reach(policy: dict[str, Any]) -> None:
    blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule.get("to", ())]

    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    assert {"169.254.0.0/16", "fe80::/10"} <= {address for block in blocks for address in block["except"]}


def test_the_pages_command_gives_a_namespace_the_label_that_it_lets_in(policy: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    [name, value] = re.findall(r"^kubectl label namespace \w+ (\S+)=(\S+)$", page, re.MULTILINE)[0]

    (peer,) = [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]
    assert peer == {"namespaceSelector": {"matchLabels": {name: value}}}
