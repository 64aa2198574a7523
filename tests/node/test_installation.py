"""What a user gets who installs the operator as the README says."""

import asyncio
import re

from sandbox.kubectl import KubectlError
from tests.node import operator
from tests.node.cluster import Cluster
from tests.node.operator import LABEL, NAMESPACE
from tests.node.team import Team


async def test_both_replicas_are_ready_and_none_was_ever_restarted(cluster: Cluster) -> None:
    pods = await operator.pods(cluster)

    assert len(pods) == 2
    for pod in pods:
        [container] = pod["status"]["containerStatuses"]
        assert (container["ready"], container["restartCount"]) == (True, 0)


async def test_the_process_is_nobody_may_nothing_and_writes_nowhere(cluster: Cluster) -> None:
    [pod, *_] = await operator.pods(cluster)
    inside = ["exec", "-n", NAMESPACE, pod["metadata"]["name"], "--"]
    status = await cluster.kubectl(*inside, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert set(fields["Uid"].split()) == {"65532"}
    assert set(fields["Gid"].split()) == {"65532"}
    assert fields["Groups"].split() in ([], ["65532"])
    assert {int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    for refused in ("touch /x", "touch /opt/queue-recovery/x"):
        try:
            await cluster.kubectl(*inside, *refused.split())
        except KubectlError as error:
            assert "Read-only file system" in str(error)  # noqa: PT017  # both commands are to be refused
        else:
            raise AssertionError(refused)
    await cluster.kubectl(*inside, "touch", "/tmp/x")  # noqa: S108  # the pod's own


async def test_its_memory_stays_far_from_the_limit(cluster: Cluster) -> None:
    for pod in await operator.pods(cluster):
        name = pod["metadata"]["name"]
        status = await cluster.kubectl("exec", "-n", NAMESPACE, name, "--", "cat", "/proc/1/status")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        assert int(peak[1]) * 1024 < 256 * 2**20


async def test_its_log_is_one_json_object_a_line_and_names_the_leader(cluster: Cluster) -> None:
    leader = await operator.leader(cluster)
    log = await cluster.kubectl("logs", "-n", NAMESPACE, leader)

    assert f"leading as {leader}" in log
    assert [line for line in log.splitlines() if not line.startswith("{")] == []
    assert "Traceback" not in log


async def test_metrics_are_served_through_the_service(team: Team) -> None:
    await team.set_up(workers=[])
    program = (
        "import urllib.request;"
        "print(urllib.request.urlopen('http://queue-recovery.queue-recovery:8080/metrics').read().decode())"
    )

    page = await team.run("-c", program)

    assert "# TYPE queue_recovery_leader gauge" in page


async def test_the_restricted_standard_admits_it_and_warns_of_nothing(cluster: Cluster) -> None:
    namespace = await cluster.read("namespace", NAMESPACE)

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    answer = await cluster.kubectl("label", "--dry-run=server", "--overwrite", "namespace", NAMESPACE, "x=y")
    assert "violate" not in answer


async def test_a_team_needs_nothing_but_the_role_binding(team: Team) -> None:
    """Before it the target names the command; after it the target is ready."""
    await team.set_up()
    await team.kubectl("delete", "rolebinding", "queue-recovery")
    await team.recover("without-access", [])

    said = await team.says("without-access", "Forbidden")
    assert "queue-recovery-tenant" in said

    await team.kubectl("apply", "-k", "manifests/tenant")
    await team.reached("without-access", "Succeeded")


async def test_a_service_without_its_namespace_is_told_to_be_written_with_it(team: Team) -> None:
    """`redis://redis` is right for the workers; the operator would look for it in its own namespace."""
    await team.set_up()
    await team.kubectl("patch", "secret", "redis", "-p", '{"stringData": {"url": "redis://redis:6379/0"}}')
    await team.recover("short-name", [])

    await team.says("short-name", "BrokerUnavailable", "write redis.NAMESPACE.svc, not redis")


async def test_stopping_one_replica_leaves_the_other_in_the_lead(cluster: Cluster) -> None:
    before = await operator.leader(cluster)
    await cluster.kubectl("delete", "pod", before, "-n", NAMESPACE)

    assert await operator.leader(cluster) != before
    await operator.rolled_out(cluster)


async def test_every_pod_of_it_is_gone_after_its_grace(cluster: Cluster) -> None:
    """The operator ends when it is told to: a pod that is deleted is gone long before its 30 s are over."""
    leader = await operator.leader(cluster)
    async with asyncio.timeout(20):
        await cluster.kubectl("delete", "pod", "-n", NAMESPACE, "-l", LABEL, f"--field-selector=metadata.name={leader}")
    await operator.rolled_out(cluster)
