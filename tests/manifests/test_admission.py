"""What the admission policies let the operator's own ServiceAccount change of workers and ScaledObjects."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from queue_recovery.workers.autoscaler_objects import PAUSED, PAUSED_REPLICAS, PAUSED_REPLICAS_BEFORE
from sandbox.api import Json
from tests import keda, rollouts
from tests.manifests.conftest import Cluster, Refused

OPERATOR = "--as=system:serviceaccount:queue-recovery:queue-recovery"
_PATIENCE = 60.0
"""Seconds until the API server has to hold a policy that was just applied."""

_DEPLOYMENT: dict[str, Any] = {
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

_STATEFUL_SET = {
    **_DEPLOYMENT,
    "kind": "StatefulSet",
    "spec": {**_DEPLOYMENT["spec"], "serviceName": "worker"},
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


REFUSED_OF_STATEFUL_SETS = {
    **{what: body for what, body in REFUSED.items() if what not in {"paused", "the strategy"}},
    "the strategy": {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}},
    "what becomes of volumes": {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}},
}
ALLOWED_OF_SCALED_OBJECTS = {
    "its pause": {"metadata": {"annotations": {PAUSED: "true", PAUSED_REPLICAS: None}}},
    "its note": {
        "metadata": {"labels": {"queuerecovery.dev/held-by": "stuck"}, "annotations": {PAUSED_REPLICAS_BEFORE: "3"}}
    },
    "its fence": {"metadata": {"labels": {"queuerecovery.dev/fence": "7"}}},
}
REFUSED_OF_SCALED_OBJECTS = {
    "a trigger": {"spec": {"triggers": []}},
    "the target": {"spec": {"scaleTargetRef": {"name": "other"}}},
    "another annotation of KEDA": {"metadata": {"annotations": {"autoscaling.keda.sh/force-activation": "true"}}},
    "an annotation that is removed": {"metadata": {"annotations": {"owner": None}}},
    "a label": {"metadata": {"labels": {"team": "other"}}},
    "a finalizer": {"metadata": {"finalizers": ["example.org/kept"]}},
}
ALLOWED_OF_ROLLOUTS = {
    **{what: body for what, body in ALLOWED.items() if what != "the time of a restart"},
    "the time of a restart": {"spec": {"restartAt": "2030-01-01T00:00:00Z"}},
}
REFUSED_OF_ROLLOUTS = {
    **{what: body for what, body in REFUSED.items() if what != "the strategy"},
    "the time of a restart in the template": ALLOWED["the time of a restart"],
    "the strategy": {"spec": {"strategy": {"canary": {"steps": [{"setWeight": 100}]}}}},
    "a field that is removed": {"spec": {"strategy": None}},
    "a field that is added": {"spec": {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}},
}
OTHER_KINDS = {
    "rollout": (ALLOWED_OF_ROLLOUTS, REFUSED_OF_ROLLOUTS),
    "statefulset": (ALLOWED, REFUSED_OF_STATEFUL_SETS),
    "scaledobject": (ALLOWED_OF_SCALED_OBJECTS, REFUSED_OF_SCALED_OBJECTS),
}


def patch(body: object, *options: str, kind: str = "deployment") -> list[str]:
    """Return the arguments of kubectl that patch an object without storing it."""
    change = ["--type=merge", "--dry-run=server", f"--patch={json.dumps(body)}"]
    return ["patch", kind, "worker", "--namespace=policed", *change, *options]


def is_in_force(cluster: Cluster) -> bool:
    for kind, refused in (
        ("deployment", REFUSED["an image"]),
        ("statefulset", REFUSED["an image"]),
        ("scaledobject", REFUSED_OF_SCALED_OBJECTS["a trigger"]),
        ("rollout", REFUSED["an image"]),
    ):
        try:
            cluster.kubectl(*patch(refused, OPERATOR, kind=kind))
        except Refused:
            continue
        return False
    return True


@pytest.fixture(scope="module")
def policed(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace that grants the operator access, with an object of each kind, under the policies."""
    for definition in (keda.CRD, rollouts.CRD):
        cluster.kubectl("apply", "-f", "-", given=definition)
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{definition['metadata']['name']}")
    cluster.kubectl("create", "namespace", "policed")
    cluster.kubectl("apply", "--namespace=policed", "-k", "manifests/tenant")
    cluster.kubectl("apply", "--namespace=policed", "-k", "manifests/keda")
    cluster.kubectl("apply", "--namespace=policed", "-k", "manifests/rollouts")
    scaled = keda.scaled_object("worker", {"owner": "media", PAUSED_REPLICAS: "3"})
    scaled["metadata"]["labels"] = {"team": "media"}
    rollout = rollouts.rollout(_DEPLOYMENT, {"setWeight": 50})
    for one in (_DEPLOYMENT, _STATEFUL_SET, rollout, scaled):
        cluster.kubectl("apply", "--namespace=policed", "-f", "-", given=one)
    cluster.kubectl("apply", "-k", "manifests/admission")
    deadline = time.monotonic() + _PATIENCE
    while not is_in_force(cluster):
        assert time.monotonic() < deadline, "the policy does not come into force"
    yield cluster
    cluster.kubectl("delete", "-k", "manifests/admission")
    cluster.kubectl("delete", "crd", "scaledobjects.keda.sh", "rollouts.argoproj.io")
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


@pytest.mark.thorough
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_of_other_kinds_too_it_may_change_only_what_a_recovery_changes(policed: Cluster, kind: str) -> None:
    allowed, refused = OTHER_KINDS[kind]
    for what, body in allowed.items():
        assert "patched" in policed.kubectl(*patch(body, OPERATOR, kind=kind)), what
    for what, body in refused.items():
        assert f"queue-recovery-{kind}s" in policed.refusal(*patch(body, OPERATOR, kind=kind)), what
    for body in refused.values():
        assert "patched" in policed.kubectl(*patch(body, kind=kind))
