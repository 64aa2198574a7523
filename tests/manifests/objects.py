"""Both resources as a person writes them, and ways to change them."""

import json
from typing import Any

from tests.manifests.conftest import Cluster

FIXED = "Forbidden: immutable once created; only suspend, cancel and a longer activeDeadlineSeconds may change"


def recovery(name: str, **spec: object) -> dict[str, Any]:
    jobs: dict[str, Any] = {} if spec.keys() & {"restoreFrom", "redeliver"} else {"jobs": []}
    return {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueRecovery",
        "metadata": {"name": name},
        "spec": {"targetRef": {"name": "media"}, "queue": "tts", **jobs, **spec},
    }


def target(name: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueTarget",
        "metadata": {"name": name},
        "spec": {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
            "queues": [{"name": "tts", "workers": [{"name": "tts-worker"}]}],
            **spec,
        },
    }


def patch(cluster: Cluster, name: str, change: object, kind: str = "queuerecovery", *options: str) -> str:
    return cluster.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}", *options)


def patch_refusal(cluster: Cluster, name: str, change: object) -> str:
    return cluster.refusal("patch", "queuerecovery", name, "--type=merge", f"--patch={json.dumps(change)}")
