"""A team in its namespace: Redis, a MongoDB server and the example's workers as pods, and what it does with them."""

import asyncio
import base64
import json
import shlex
from collections.abc import Coroutine, Sequence
from pathlib import Path

import yaml

from sandbox.processes import ROOT
from tests.node.cluster import MONGODB_DATA, Cluster, Object

EXAMPLE = ROOT / "examples" / "stuck-queue" / "manifests"

_SECONDS = 120
_SHELL = "deployment/shell"
"""A pod of the application's image, from which the team looks at its servers."""


class Team:
    """A namespace with all of it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        """Take the cluster and a namespace that exists."""
        self.cluster = cluster
        self.namespace = namespace

    async def kubectl(self, *arguments: str, given: str | None = None, seconds: float = 60) -> str:
        """Run kubectl in the team's namespace."""
        return await self.cluster.kubectl("-n", self.namespace, *arguments, given=given, seconds=seconds)

    async def read(self, *arguments: str) -> Object:
        """Return what `kubectl get` shows in the namespace, as an object."""
        return await self.cluster.read("-n", self.namespace, *arguments)

    async def set_up(self, workers: Sequence[Object] | None = None, *, manifests: Path = EXAMPLE) -> None:
        """Start the servers and the workers, grant the operator access, and describe the queues in a target.

        Args:
            workers: Deployments of `tts-worker` and others; by default the example's own.
            manifests: Where the target is read; by default in the example of this version.
        """
        servers = self.cluster.servers
        await self.cluster.apply(
            _secret("redis", f"redis://redis.{self.namespace}.svc:6379/0"),
            _secret("mongo", f"mongodb://mongo.{self.namespace}.svc:27017/"),
            *_server("redis", servers.redis, servers.redis_command, 6379),
            *_server("mongo", servers.mongodb, _as_child(servers.mongodb_command), 27017),
            deployment("shell", ["sleep", "infinity"]),
            namespace=self.namespace,
        )
        await self.kubectl("apply", "-k", "manifests/tenant")
        await self.rolled_out("redis", "mongo", "shell")
        workers = example("tts.yaml") if workers is None else workers
        if workers:
            await self.cluster.apply(*workers, namespace=self.namespace)
            await self.rolled_out(*(one["metadata"]["name"] for one in workers if one["kind"] == "Deployment"))
        [target] = example("queuetarget.yaml", manifests=manifests)
        target["spec"]["queues"] = [queue for queue in target["spec"]["queues"] if queue["name"] == "tts"]
        await self.cluster.apply(target, namespace=self.namespace)
        condition = "Ready" if workers else "BrokerReachable"
        await self.kubectl("wait", f"--for=condition={condition}", "queuetarget/media", "--timeout=90s", seconds=100)

    async def rolled_out(self, *names: str) -> None:
        """Wait until these Deployments are rolled out."""
        for name in names:
            await self.kubectl(
                "rollout", "status", f"deployment/{name}", f"--timeout={_SECONDS}s", seconds=_SECONDS + 10
            )

    async def poison(self, *jobs: str) -> None:
        """Store jobs and enqueue them as the bad release does."""
        await self.run("-m", "tts.submit_release_1", *(f"{job}=Mind the gap." for job in jobs))

    async def recover(self, name: str, jobs: Sequence[str], /, **spec: object) -> None:
        """Create a recovery of the queue `tts`."""
        listed = [{"id": job} for job in jobs]
        body = {
            "apiVersion": "queuerecovery.dev/v1alpha1",
            "kind": "QueueRecovery",
            "metadata": {"name": name},
            "spec": {"targetRef": {"name": "media"}, "queue": "tts", "jobs": listed, **spec},
        }
        await self.cluster.apply(body, namespace=self.namespace)

    async def status(self, name: str) -> Object:
        """Return a recovery's status."""
        found: Object = (await self.read("queuerecovery", name)).get("status", {})
        return found

    async def reached(self, name: str, phase: str, *, seconds: float = _SECONDS) -> Object:
        """Wait for a phase of a recovery, and return its status then; another ending fails at once."""

        async def there() -> Object | None:
            status = await self.status(name)
            if "completionTime" in status:
                assert status["phase"] == phase, json.dumps(status, indent=1)
            return status if status.get("phase") == phase else None

        return await self.cluster.until(there, f"recovery {name} to be {phase}", seconds=seconds)

    async def says(self, name: str, *words: str, seconds: float = _SECONDS) -> str:
        """Wait until the message of a recovery has all of these words, and return it."""

        async def said() -> str | None:
            status = await self.status(name)
            assert "completionTime" not in status, json.dumps(status, indent=1)
            message = f"{status.get('reason', '')} {status.get('message', '')}"
            conditions = " ".join(f"{one['reason']} {one['message']}" for one in status.get("conditions", ()))
            whole = f"{message} {conditions}"
            return whole if all(word in whole for word in words) else None

        return await self.cluster.until(said, f"recovery {name} to say {words}", seconds=seconds)

    async def replicas(self, name: str) -> int:
        """Return the desired replicas of a Deployment."""
        found: int = (await self.read("deployment", name))["spec"]["replicas"]
        return found

    async def pods(self, app: str) -> list[Object]:
        """Return the pods of an application."""
        found: list[Object] = (await self.read("pods", "-l", f"app={app}"))["items"]
        return found

    async def run(self, *arguments: str) -> str:
        """Run Python with the application in the team's shell, and return what it wrote."""
        return await self.kubectl("exec", _SHELL, "--", "python", *arguments)

    async def redis(self, *command: str) -> object:
        """Send a command to Redis and return its answer."""
        program = (
            "import json, os, sys, redis\n"
            "client = redis.Redis.from_url(os.environ['REDIS_URL'], decode_responses=True)\n"
            "print(json.dumps(client.execute_command(*sys.argv[1:])))"
        )
        answer: object = json.loads(await self.run("-c", program, *command))
        return answer

    async def documents(self, collection: str, query: str = "{}") -> list[Object]:
        """Return documents of the application's database, ids as text."""
        program = (
            "import json, sys, database\n"
            "rows = database.app()[sys.argv[1]].find(json.loads(sys.argv[2]))\n"
            "print(json.dumps(list(rows), default=str))"
        )
        found: list[Object] = json.loads(await self.run("-c", program, collection, query))
        return found

    async def job(self, job: str) -> Object:
        """Return a job's document."""
        return next(row for row in await self.documents("jobs") if row["_id"] == job)

    async def executions(self, job: str) -> list[Object]:
        """Return the runs of a job that have begun, oldest first."""
        return [row for row in await self.documents("executions") if row["job"] == job]

    async def suspend(self, name: str, *, held: bool) -> None:
        """Set `spec.suspend` of a recovery; wait until it is held, if it is to be."""
        patch = json.dumps({"spec": {"suspend": held}})
        await self.kubectl("patch", "qr", name, "--type=merge", "-p", patch)
        if held:
            await self.says(name, "suspend")

    async def failed(self, *jobs: str) -> None:
        """Wait until each of these jobs has failed."""

        async def all_failed() -> bool:
            states = {row["_id"]: row["status"] for row in await self.documents("jobs")}
            return all(states.get(job) == "failed" for job in jobs)

        await self.cluster.until(all_failed, f"jobs {jobs} to fail", seconds=_SECONDS)

    async def done(self, *jobs: str) -> None:
        """Wait until each of these jobs is done."""

        async def all_done() -> bool:
            states = {row["_id"]: row["status"] for row in await self.documents("jobs")}
            return all(states.get(job) == "done" for job in jobs)

        await self.cluster.until(all_done, f"jobs {jobs} to be done", seconds=_SECONDS)

    async def ran_once(self, *jobs: str) -> None:
        """Assert that each of these jobs has run once under its new task id, and is done."""
        outcomes: dict[str, list[str | None]] = {}

        async def all_ended() -> bool:
            documents = {row["_id"]: row for row in await self.documents("jobs")}
            assert all(documents[job]["status"] == "done" for job in jobs)
            runs = await self.documents("executions")
            for job in jobs:
                new = [run for run in runs if run["task_id"] == documents[job]["task_id"]]
                outcomes[job] = [run.get("outcome") for run in new]
            return not any(None in ended for ended in outcomes.values())

        # The application writes down the end of a run after that of the job.
        await self.cluster.until(all_ended, f"each new run of jobs {jobs} to have ended", seconds=_SECONDS)
        assert outcomes == {job: ["done"] for job in jobs}


def job_ids(count: int, *, first: int = 0) -> list[str]:
    """Return ids of jobs."""
    return [f"662f1c0e9d3e4b00{first + number:08x}" for number in range(1, count + 1)]


def deployment(
    name: str, command: Sequence[str], *, replicas: int = 1, container: Object | None = None, pod: Object | None = None
) -> Object:
    """Return a Deployment of the application's image."""
    environment = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}},
        {"name": "MONGO_URL", "valueFrom": {"secretKeyRef": {"name": "mongo", "key": "url"}}},
        # Of two questions at once through the Service's address one answer may be lost, and a busy node is slow.
        {"name": "RES_OPTIONS", "value": "single-request attempts:5"},
    ]
    made = {
        "name": "main",
        "image": "stuck-queue-app:1",
        "command": [*command],
        "env": environment,
        **(container or {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 2 if name == "shell" else 30,
                    "containers": [made],
                    **(pod or {}),
                },
            },
        },
    }


def worker(
    name: str = "tts-worker", *, replicas: int = 1, container: Object | None = None, pod: Object | None = None
) -> Object:
    """Return a Deployment of workers of the queue `tts`."""
    celery = "celery --app tts.worker worker --queues tts --pool solo --loglevel INFO --without-mingle --without-gossip"
    return deployment(name, shlex.split(celery), replicas=replicas, container=container, pod=pod)


def example(name: str, *, manifests: Path = EXAMPLE) -> list[Object]:
    """Return the objects of one of the example's manifests, for any namespace."""
    found = list(yaml.safe_load_all((manifests / name).read_text()))
    for body in found:
        body["metadata"].pop("namespace", None)
    return found


def _secret(name: str, url: str) -> Object:
    data = {"url": base64.b64encode(url.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def _as_child(command: Sequence[str]) -> Sequence[str]:
    """Return a command that runs another one as its child: SIGKILL from inside a container spares process 1."""
    return "sh", "-c", '"$@"; exit $?', "sh", *command


def _server(name: str, image: str, command: Sequence[str], port: int) -> list[Object]:
    labels = {"app": name}
    container = {
        "name": name,
        "image": image,
        "command": [*command],
        "workingDir": "/tmp",  # noqa: S108  # the container's own
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": MONGODB_DATA}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]


async def together(*steps: Coroutine[object, object, object]) -> None:
    """Run steps side by side; the first failure ends them all."""
    async with asyncio.TaskGroup() as group:
        for step in steps:
            group.create_task(step)
