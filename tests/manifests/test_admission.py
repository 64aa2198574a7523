"""What the admission policy lets the operator's own ServiceAccount change of a Deployment."""

import json
import time
from collections.abc import Iterator

import pytest

from sandbox.api import Json
from tests.manifests.conftest import Cluster, Refused

OPERATOR = "--as=system:serviceaccount:queue-recovery:queue-recovery"
_PATIENCE = 60.0
"""Seconds until the API server has to hold a policy that was just applied."""

_DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "worker", "labels": {"team": "media"}, "annotations": {"owner": "media"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "worker"}},
        "template": {
            "metadata": {"labels": {"app": "worker"}, "annotations": {"owner": "media"}},
            "spec": {"containers": [{"name": "worker", "image": "worker:1"}]},
        },
    },
}


def template(metadata: Json) -> Json:
    """Return a change of the metadata of a Deployment's pods."""
    return {"spec": {"template": {"metadata": metadata}}}


ALLOWED = {
    "replicas": {"spec": {"replicas": 0}},
    "its note": {"metadata": {"labels": {"queuerecovery.dev/held-by": "stuck"}}},
    "its fence": {"metadata": {"labels": {"queuerecovery.dev/fence": "7"}}},
    "the time of a restart": template({"annotations": {"kubectl.kubernetes.io/restartedAt": "2030-01-01T00:00:00Z"}}),
}
REFUSED = {
    "an image": {"spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "worker:evil"}]}}}},
    "a volume": {"spec": {"template": {"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}}},
    "an annotation of its pods": template({"annotations": {"sidecar.example.org/inject": "true"}}),
    "an annotation of its pods that is removed": template({"annotations": {"owner": None}}),
    "a label of its pods": template({"labels": {"team": "other"}}),
    "a finalizer of its pods": template({"finalizers": ["example.org/kept"]}),
    "paused": {"spec": {"paused": True}},
    "the strategy": {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}},
    "a label": {"metadata": {"labels": {"team": "other"}}},
    "a label of its own naming": {"metadata": {"labels": {"queuerecovery.device": "x"}}},
    "a label that is removed": {"metadata": {"labels": {"team": None}}},
    "an annotation": {"metadata": {"annotations": {"owner": "other"}}},
    "an annotation of its own naming": {"metadata": {"annotations": {"queuerecovery.dev/note": "x"}}},
    "an annotation that is removed": {"metadata": {"annotations": {"owner": None}}},
    "a finalizer": {"metadata": {"finalizers": ["example.org/kept"]}},
}


def patch(body: object, *options: str) -> list[str]:
    """Return the arguments of kubectl that patch the Deployment without storing it."""
    change = ["--type=merge", "--dry-run=server", f"--patch={json.dumps(body)}"]
    return ["patch", "deployment", "worker", "--namespace=policed", *change, *options]


def is_in_force(cluster: Cluster) -> bool:
    try:
        cluster.kubectl(*patch(REFUSED["an image"], OPERATOR))
    except Refused:
        return True
    return False


@pytest.fixture(scope="module")
def policed(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace that lets the operator in, with a Deployment, under the policy."""
    cluster.kubectl("create", "namespace", "policed")
    cluster.kubectl("apply", "--namespace=policed", "-k", "manifests/tenant")
    cluster.kubectl("apply", "--namespace=policed", "-f", "-", given=_DEPLOYMENT)
    cluster.kubectl("apply", "-k", "manifests/admission")
    deadline = time.monotonic() + _PATIENCE
    while not is_in_force(cluster):
        assert time.monotonic() < deadline, "the policy does not come into force"
    yield cluster
    cluster.kubectl("delete", "-k", "manifests/admission")
    cluster.kubectl("delete", "namespace", "policed", "--wait=false")


@pytest.mark.parametrize("what", ALLOWED)
def test_the_operator_may_change_what_a_recovery_changes(policed: Cluster, what: str) -> None:
    assert "patched" in policed.kubectl(*patch(ALLOWED[what], OPERATOR))


@pytest.mark.parametrize("what", REFUSED)
def test_the_operator_may_change_nothing_else(policed: Cluster, what: str) -> None:
    assert "queue-recovery-deployments" in policed.refusal(*patch(REFUSED[what], OPERATOR))


@pytest.mark.parametrize("what", REFUSED)
def test_everybody_else_may_change_what_they_always_could(policed: Cluster, what: str) -> None:
    assert "patched" in policed.kubectl(*patch(REFUSED[what]))
