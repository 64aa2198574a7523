"""Workers as they really are: slow to end, without an image, out of memory, behind a budget."""

import json
import re
from datetime import datetime

import pytest

from tests.node.cluster import Object
from tests.node.team import Team, deployment, example, job_ids, worker

ONE = job_ids(1)
_TWO_LOOKS = 60
"""Seconds in which the operator looks at a target twice."""

_LITTLE_MEMORY = {"limits": {"memory": "160Mi"}, "requests": {"memory": "32Mi", "cpu": "10m"}}

_MODULE = """
import os, time
from tts.worker import app
app.conf.task_acks_late = True
app.conf.result_backend = os.environ["REDIS_URL"]
app.conf.broker_transport_options = {
    "visibility_timeout": int(os.environ.get("VISIBLE_SECONDS", "3600")),
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}

@app.task(name="tts.slow")
def slow():
    app.backend
    open("/tmp/began", "w").close()
    time.sleep(40)
    connection = app.connection_for_write()
    connection.default_channel.client.set("slow", "finished")

@app.task(name="tts.tracked", track_started=True, ignore_result=False)
def tracked():
    time.sleep(600)

@app.task(name="tts.hog")
def hog():
    connection = app.connection_for_write()
    connection.default_channel.client.rpush("hogs", time.time())
    bytearray(512 * 2**20)
"""
"""Tasks of the queue `tts` that the example has no need of."""


def special_worker(*, visible_seconds: int = 3600, grace_seconds: int = 90, **container: object) -> list[Object]:
    """Return a worker that knows the tasks of `_MODULE`, and the ConfigMap that has them.

    Args:
        visible_seconds: Celery's visibility timeout, after which a message of a killed worker is delivered again.
        grace_seconds: how long its pods may take to end.
        container: further fields of its container.
    """
    module = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "special"}, "data": {"special.py": _MODULE}}
    celery = "celery --app special worker --queues tts --pool solo --loglevel INFO --without-mingle --without-gossip"
    command = ["env", f"VISIBLE_SECONDS={visible_seconds}", *celery.split()]
    mounted = {
        "volumeMounts": [{"name": "special", "mountPath": "/app/special.py", "subPath": "special.py"}],
        **container,
    }
    pod: Object = {
        "volumes": [{"name": "special", "configMap": {"name": "special"}}],
        "terminationGracePeriodSeconds": grace_seconds,
    }
    return [module, deployment("tts-worker", command, container=mounted, pod=pod)]


async def send(team: Team, task: str) -> None:
    """Enqueue one of the tasks of `_MODULE`."""
    program = "import os, sys, celery;celery.Celery(broker=os.environ['REDIS_URL']).send_task(sys.argv[1], queue='tts')"
    await team.run("-c", program, task)


async def test_a_warm_shutdown_of_40_s_behind_a_prestop_hook_is_waited_for_and_named(team: Team) -> None:
    hook = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    await team.set_up(workers=special_worker(lifecycle=hook))
    await send(team, "tts.slow")
    await team.cluster.until(
        lambda: team.kubectl("exec", "deployment/tts-worker", "--", "ls", "/tmp/began"),  # noqa: S108  # in its pod
        "the slow task to begin",
    )
    [pod] = await team.pods("tts-worker")

    await team.recover("patient", [])
    await team.says("patient", 'waiting for the pods of "tts-worker" to end', pod["metadata"]["name"], "is killed at")
    status = await team.reached("patient", "Succeeded")

    assert await team.redis("GET", "slow") == "finished"
    assert status["messages"]["quarantined"] == 0
    assert await team.replicas("tts-worker") == 1


async def test_a_pod_disruption_budget_that_allows_no_disruption_does_not_hinder_the_drain(team: Team) -> None:
    await team.set_up()
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "all"},
        "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "tts-worker"}}},
    }
    await team.cluster.apply(budget, namespace=team.namespace)
    await team.poison(*ONE)
    await team.failed(*ONE)

    await team.recover("past-the-budget", ONE)
    await team.reached("past-the-budget", "Succeeded")

    await team.done(*ONE)
    await team.ran_once(*ONE)


async def test_an_image_that_cannot_be_pulled_after_the_restart_is_named_until_there_is_one(team: Team) -> None:
    await team.set_up()
    await team.poison(*ONE)
    await team.failed(*ONE)
    await team.kubectl("set", "image", "deployment/tts-worker", "worker=localhost/there-is-none:1")

    await team.recover("no-image", ONE)
    said = await team.says("no-image", "Restarting", "tts-worker", "cannot pull its image", "ImagePull")
    assert "kubectl describe pod" in said
    await team.kubectl("set", "image", "deployment/tts-worker", "worker=stuck-queue-app:1")
    await team.reached("no-image", "Succeeded")

    await team.done(*ONE)
    await team.ran_once(*ONE)


async def test_a_worker_that_is_out_of_memory_again_and_again_is_freed_of_its_message(team: Team) -> None:
    await team.set_up(workers=special_worker(resources=_LITTLE_MEMORY))
    await send(team, "tts.hog")

    async def killed() -> bool:
        [pod] = await team.pods("tts-worker")
        [container] = pod["status"]["containerStatuses"]
        ends = [container["lastState"], container["state"]]
        return any(end.get("terminated", {}).get("reason") == "OOMKilled" for end in ends)

    await team.cluster.until(killed, "the worker to be killed for its memory", seconds=120)
    await team.recover("hog", [])
    status = await team.reached("hog", "Succeeded", seconds=180)

    assert status["messages"]["quarantined"] == 1, json.dumps(status, indent=1)
    [pod] = await team.pods("tts-worker")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_what_a_container_held_that_was_killed_a_moment_later_is_given_back_at_once(team: Team) -> None:
    """The kubelet says in whole seconds when its last process ended, and restarts it within two of them."""
    await team.set_up(workers=special_worker(resources=_LITTLE_MEMORY))
    await send(team, "tts.hog")

    async def is_started_again() -> bool:
        [pod] = await team.pods("tts-worker")
        [container] = pod["status"]["containerStatuses"]
        return container["restartCount"] == 1 and "running" in container["state"]

    await team.cluster.until(is_started_again, "the killed container to be started again", seconds=120)
    await team.recover("given-back", [], purge={"mode": "None"}, redeliver={})
    status = await team.reached("given-back", "Succeeded")

    assert status["redelivered"] == {"found": 1, "redelivered": 1, "left": 0}, json.dumps(status, indent=1)


async def _poison(team: Team) -> Object | None:
    [queue] = (await team.read("queuetarget", "media"))["status"]["queues"]
    return next((cause for cause in queue.get("stuck", ()) if cause["reason"] == "PoisonMessage"), None)


async def _proposed(team: Team) -> str | None:
    cause = await _poison(team)
    return None if cause is None else cause.get("proposal")


async def test_a_message_whose_task_is_out_of_memory_each_time_is_told_as_poison_and_purged_as_proposed(
    team: Team,
) -> None:
    """Acknowledged late, it comes back each time that the kubelet has started the container again."""
    await team.set_up(workers=special_worker(visible_seconds=1, resources=_LITTLE_MEMORY))
    await send(team, "tts.hog")

    cause = await team.cluster.until(lambda: _poison(team), "the target to tell of it", seconds=300)
    fourth = await team.redis("LINDEX", "hogs", "3")

    assert '(task "tts.hog")' in cause["message"]
    assert "3 times, and in between containers of the workers were OOMKilled" in cause["message"]
    # A message counts as delivered again from its second delivery on, and three of these have to be seen.
    late = 0 if fourth is None else datetime.fromisoformat(cause["since"]).timestamp() - float(str(fourth))
    assert late < _TWO_LOOKS
    stuck = "jsonpath={.status.conditions[?(@.type=='Stuck')].reason}"
    assert await team.kubectl("get", "queuetarget", "media", "-o", stuck) == "PoisonMessage"

    policy = json.dumps({"spec": {"policy": {"propose": True}}})
    await team.kubectl("patch", "queuetarget", "media", "--type=merge", "-p", policy)
    name = await team.cluster.until(lambda: _proposed(team), "a recovery to be proposed", seconds=_TWO_LOOKS)
    assert (await team.read("queuerecovery", name))["spec"]["suspend"] is True
    await team.suspend(name, held=False)
    status = await team.reached(name, "Succeeded", seconds=180)
    assert status["messages"]["quarantined"] == 1, json.dumps(status, indent=1)


async def test_a_task_that_runs_longer_than_its_pod_may_take_to_end_is_a_warning(team: Team) -> None:
    """A node of Celery is named after its pod by default, and the kubelet says when the process was started."""
    await team.set_up(workers=special_worker(grace_seconds=5))
    results = json.dumps({"spec": {"diagnosis": {"results": {}}}})
    await team.kubectl("patch", "queuetarget", "media", "--type=merge", "-p", results)
    [pod] = await team.pods("tts-worker")
    await send(team, "tts.tracked")

    async def told() -> str | None:
        found = (await team.read("queuetarget", "media"))["status"]["conditions"]
        return next((one["message"] for one in found if one["reason"] == "RunBeyondGracePeriod"), None)

    said = await team.cluster.until(told, f"the target to tell what {pod['metadata']['name']} runs", seconds=180)

    assert re.match(
        r'task "tts\.tracked" of queue "tts" ran for at least \d+ seconds, and the pods of Deployment "tts-worker" '
        "have 5 seconds to end",
        said,
    )


async def test_workers_on_the_network_of_their_node_are_no_unknown_consumers(team: Team) -> None:
    """They share its address, so a connection from there says nothing of a pod that is gone."""
    await team.set_up(workers=[worker(replicas=1, pod={"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"})])
    await team.poison(*ONE)
    await team.failed(*ONE)

    await team.recover("on-the-host", ONE)
    await team.reached("on-the-host", "Succeeded")

    await team.done(*ONE)
    await team.ran_once(*ONE)


_NEIGHBOUR = """
import os, redis
client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None)
while True:
    client.brpop("another-queue", 600)
"""


_END = "/dev/shm/end"  # noqa: S108  # in the worker's own container
"""The file that the slow worker waits for."""


@pytest.mark.own_node
async def test_a_client_that_got_the_address_of_a_worker_pod_since_is_no_unknown_consumer(team: Team) -> None:
    """While one worker takes its time to end, the address of another goes to a pod that has nothing to do with it."""
    node = team.cluster.node
    assert node is not None
    until_told = f"until [ -e {_END} ]; do sleep 0.2; done"
    slow = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", until_told]}}}}
    late = worker("tts-late", container=slow, pod={"terminationGracePeriodSeconds": 300})
    await team.set_up(workers=[worker(), late])
    [target] = example("queuetarget.yaml")
    workers = [{"name": "tts-worker"}, {"name": "tts-late"}]
    target["spec"]["queues"] = [{"name": "tts", "workers": workers, "tasks": ["tts.render"]}]
    await team.cluster.apply(target, namespace=team.namespace)
    [pod] = await team.pods("tts-worker")
    address = pod["status"]["podIP"]
    await team.recover("reused", [], jobs=[{"task": "tts.render", "args": '["x"]'}])
    await team.says("reused", 'waiting for the pods of "tts-late" to end')

    await node.allocate_next(address)
    await team.cluster.apply(deployment("neighbour", ["python", "-c", _NEIGHBOUR]), namespace=team.namespace)
    await team.rolled_out("neighbour")
    [neighbour] = await team.pods("neighbour")
    assert neighbour["status"]["podIP"] == address

    async def waiting() -> list[str]:
        clients = str(await team.redis("CLIENT", "LIST"))
        return re.findall(rf"\bid=([0-9]+) addr={address}:[0-9]+ .*\bcmd=brpop\b", clients)

    before = await team.cluster.until(waiting, f"a client at {address} to wait for messages")
    assert (await team.status("reused"))["phase"] == "Draining"
    await team.kubectl("exec", "deployment/tts-late", "--", "touch", _END)
    await team.reached("reused", "Succeeded")

    assert await waiting() == before


async def test_redis_sees_the_address_of_each_worker_pod_through_the_service(team: Team) -> None:
    await team.set_up()
    addresses = {pod["status"]["podIP"] for pod in await team.pods("tts-worker")}

    assert len(addresses) == 2

    async def all_seen() -> bool:
        clients = str(await team.redis("CLIENT", "LIST"))
        return addresses <= set(re.findall(r"\baddr=([0-9.]+):", clients))

    await team.cluster.until(all_seen, f"Redis to have clients at {addresses}")
