"""As much as a resource may hold: all of it can be stored, changed, and have a status."""

import json

from queue_recovery.api.recovery_status import MOST_WORKERS
from tests.manifests.conftest import Cluster
from tests.manifests.objects import FIXED, patch, patch_refusal, recovery


def test_a_thousand_jobs_can_be_applied_and_applied_again(cluster: Cluster, name: str) -> None:
    made = recovery(name, jobs=[{"id": f"{number:024x}"} for number in range(1000)])

    assert "created" in cluster.kubectl("apply", "-f", "-", given=made)
    assert "unchanged" in cluster.kubectl("apply", "-f", "-", given=made)
    assert "patched" in patch(cluster, name, {"spec": {"cancel": True}})


def test_the_largest_recovery_can_still_be_changed_and_have_a_status(cluster: Cluster, name: str) -> None:
    jobs = [{"task": "t" * 130, "args": json.dumps(["x" * 258])} for _ in range(1000)]
    cluster.kubectl("create", "-f", "-", given=recovery(name, jobs=jobs))
    skipped = [{"id": f"{number:0>320}", "reason": "NotAttempted", "message": "x" * 160} for number in range(1000)]

    assert "patched" in patch(cluster, name, {"spec": {"suspend": True}})
    assert f"spec.jobs: {FIXED}" in patch_refusal(cluster, name, {"spec": {"jobs": []}})
    status = {"status": {"skipped": skipped}}
    path = cluster.kubeconfig.parent / "status.json"
    path.write_text(json.dumps(status))
    cluster.kubectl(
        "patch",
        "queuerecovery",
        name,
        "--subresource=status",
        "--type=merge",
        f"--patch-file={path}",
    )


def test_the_largest_status_of_a_recovery_of_every_queue_can_be_written(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, queue="*"))
    queues = [f"{number:0>200}" for number in range(100)]
    workers = [
        {"name": f"{number:0>253}", "uid": "u" * 64, "replicas": 1, "generation": 1} for number in range(MOST_WORKERS)
    ]
    plan = {"time": "2026-01-01T00:00:00Z", "ready": 0, "unacked": 0, "enqueue": 0, "skip": 0}
    status = {"plan": {**plan, "queues": queues, "unlisted": queues[:20]}, "workers": workers}

    assert "patched" in patch(cluster, name, {"status": status}, "queuerecovery", "--subresource=status")


def test_a_recovery_that_etcd_cannot_hold_is_refused_when_it_is_created(cluster: Cluster, name: str) -> None:
    jobs = [{"task": "t", "args": json.dumps([chr(0x1D11E) * 500], ensure_ascii=False)} for _ in range(1000)]

    assert "too large" in cluster.refusal("create", "-f", "-", given=recovery(name, jobs=jobs))
