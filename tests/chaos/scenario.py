"""What every case begins with: a stuck queue with neighbours, workers, jobs, and one recovery."""

import json
from asyncio import ensure_future
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import time
from uuid import UUID, uuid5

import yaml
from typing_extensions import override

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import ROLLOUT
from sandbox.api import ApiError, Json
from sandbox.processes import ROOT, DeadlineError, until
from tests.chaos.watched import Watched
from tests.e2e.team import CELERY, Team, envelope
from tests.keda import Keda, scaled_object
from tests.rollouts import RolloutsController, rollout

SEP = "\x06\x16"
CONSUMER = ["python", "tests/chaos/consumer.py"]
IMAGE = "queue-recovery:test"
REQUIRES_IMAGE: Json = {"requireImage": [{"name": "worker", "image": IMAGE}]}
REPLICAS = 2
GRACE = 5
"""Seconds that a worker's pod may take to end; what a drain waits for after a death in it."""

CELERY_GRACE = 60
"""The same for Celery: killed before it has stopped, as on a busy machine, it loses what it has acknowledged."""

QUEUES = ("aside", "work")
"""What the target lists; the first one is empty, and is taken first when both are."""
UNDECLARED = f"work{SEP}7"
"""A list of the queue that its workers do not look into: what is there stays there."""
WRITTEN_OUT = "written-out"
"""The job that is listed without an id."""
SCALER = "worker-scaler"
"""The ScaledObject of workers that KEDA scales."""
_LONG_AGO = 60
"""Seconds before the start of the workers; a start says nothing about the last few."""
STRANDED = ("left-1", "left-2")
"""The messages in `unacked` that no live worker holds."""
STRANDED_ELSEWHERE = "left-3"
"""One more where the workers are not restarted: of a priority that they do not look for, so it stays in its list."""
RECENT = "recent"
"""One that nobody holds either, which was delivered since the workers were started: one of them could hold it."""
NAME, EARLIER, NEXT = "stuck", "earlier", "next"
CHOSEN = ("poison-0", "poison-2", "low-1", "left-1")
"""What a recovery puts back that restores: of each priority, and of what was in `unacked`."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A job of the recovery."""

    key: str
    """How the recovery names it in the broker (`recovery.jobs`)."""
    label: str
    """How the recovery's status names it."""
    name: str
    """How its runs are recorded."""
    document: Json | None
    """What it looked like before, if it has a document."""

    def task_id(self, uid: str) -> str:
        """Return the id of the one task that the recovery may enqueue for it."""
        return str(uuid5(UUID(uid), self.key))


@dataclass(kw_only=True)
class Scenario(Team):
    """A team that is fast: it asks the API server itself instead of through kubectl, and watches its recovery."""

    real_workers: bool = False
    pending: bool = False
    """Whether some of the listed jobs wait for their messages, which no worker looks for."""
    restarts: bool = False
    """Whether the recovery restarts the workers and takes no message, and a listed job has no message."""
    redelivers: bool = False
    """Whether the recovery gives back what nobody holds in `unacked`, which was delivered before the workers ran."""
    stateful: bool = False
    """Whether the workers are a StatefulSet that KEDA scales."""
    rollout: bool = False
    """Whether the workers are a Rollout of Argo Rollouts."""
    watched: Watched = field(default_factory=Watched)
    listed: list[Listed] = field(default_factory=list)
    queue: dict[str, bytes] = field(default_factory=dict)
    """The messages of the queue before the recovery, by name (task id, or delivery tag of an entry of `unacked`)."""
    delivered: float = field(default_factory=lambda: float(int(time())))
    """When the entries of `unacked` were delivered that no live worker holds; lately, so that none restores them."""
    others: dict[str, object] = field(default_factory=dict)
    """The keys in the broker that do not belong to the recovery, each as DUMP shows it."""
    foreign: dict[str, bytes] = field(default_factory=dict)
    """The entries of `unacked` that belong to other queues, or that cannot be read."""
    lost: frozenset[str] = frozenset()
    """Names of the messages that the broker has lost."""
    _manifest: Json = field(default_factory=dict, init=False)
    """Of the workers."""
    earlier: str | None = None
    """UID of the recovery whose messages are put back; None: the recovery takes messages itself."""
    former: str | None = None
    """UID of the recovery of the same queue before this one: it was removed by force, or has ended."""
    forged: bool = False
    """Whether another client has written into the record of that one."""

    replaced: bool = False
    """Whether the workers' Deployment was replaced meanwhile."""

    def __post_init__(self) -> None:
        """Date deliveries back that no running worker is to hold."""
        if self.redelivers:
            self.delivered -= _LONG_AGO

    async def delete(self) -> None:
        """Delete the recovery."""
        await self.api.delete(f"{self.path('QueueRecovery')}/{NAME}", {})

    async def replace_workers(self) -> None:
        """Delete the workers' Deployment with its pods, and create it again from its manifest."""
        self.replaced = True
        path = f"{self.path('Deployment')}/worker"
        before = (await self.get("Deployment", "worker"))["metadata"]["uid"]
        await self.api.delete(path, {"propagationPolicy": "Background"})
        await self.apply(self._manifest)
        assert (await self.get("Deployment", "worker"))["metadata"]["uid"] != before

    async def generation(self) -> int:
        """Return how often the spec of the workers' Deployment has changed."""
        generation: int = (await self.get("Deployment", "worker"))["metadata"]["generation"]
        return generation

    async def roll_out(self, image: str) -> None:
        """Give the workers' Deployment an image, as a new version of its manifest does."""
        container = self._manifest["spec"]["template"]["spec"]["containers"][0]
        container["image"] = image
        template = {"spec": {"containers": [container]}}
        await self.api.patch(f"{self.path('Deployment')}/worker", {"spec": {"template": template}})

    async def begin_update(self) -> None:
        """Give the workers' Rollout another template, and wait until its canary waits for a person."""
        template = {"metadata": {"annotations": {"version": "2"}}}
        await self.api.patch(f"{self.path(ROLLOUT.kind)}/worker", {"spec": {"template": template}})

        async def is_paused() -> bool:
            return bool((await self.get(ROLLOUT.kind, "worker"))["status"].get("pauseConditions"))

        await until(is_paused, "the canary to be paused")

    async def promote_update(self) -> None:
        """Go on with the canary to its end."""
        path = f"{self.path(ROLLOUT.kind)}/worker/status"
        await self.api.patch(path, {"status": {"pauseConditions": None}})

    async def wanted(self) -> int:
        """Return how many replicas the workers are to have."""
        replicas: int = (await self.get(self.worker_kind, "worker"))["spec"]["replicas"]
        return replicas

    async def remove_by_force(self) -> None:
        """Delete the recovery without its being ended."""
        self.former = self.uid
        with suppress(ApiError):  # it went at once
            await self.delete()
            await self.api.patch(f"{self.path('QueueRecovery')}/{NAME}", {"metadata": {"finalizers": None}})
        await self.watched.becomes(lambda watched: watched.gone, "the recovery to be gone")

    @property
    def worker_kind(self) -> str:
        """The kind of the workers."""
        if self.rollout:
            return ROLLOUT.kind
        return "StatefulSet" if self.stateful else "Deployment"

    @asynccontextmanager
    async def controlled(self) -> AsyncIterator[None]:
        """Let the workers' controller run while the block does, if it is not one of Kubernetes itself."""
        if not self.rollout:
            yield
            return
        async with RolloutsController(self.api, self.namespace).running():
            yield

    @asynccontextmanager
    async def scaled(self) -> AsyncIterator[None]:
        """Let KEDA scale the workers while the block runs, if it does so here; there is always work for them."""
        if not self.stateful:
            yield
            return

        async def is_active() -> bool:
            return True

        async with Keda(self.api, self.namespace, is_active).running():
            yield

    @property
    def former_run(self) -> str:
        """How the recovery of the queue before this one was named in the broker."""
        return f"{self.former}/work" if self.watched.body["spec"]["queue"] == "*" else f"{self.former}"

    @property
    def uid(self) -> str:
        """UID of the recovery."""
        uid: str = self.watched.body["metadata"]["uid"]
        return uid

    @property
    def run(self) -> str:
        """How the recovery of the queue is named in the broker."""
        return f"{self.uid}/work" if self.watched.body["spec"]["queue"] == "*" else self.uid

    @property
    def source(self) -> str:
        """How the recovery is named in the broker that took the queue's messages."""
        return self.earlier or self.run

    @override
    async def let_the_operator_in(self) -> None:
        """Bind its permissions to the namespace, which is also the one of its lease."""
        await super().let_the_operator_in()
        for one in yaml.safe_load_all((ROOT / "manifests" / "operator" / "rbac.yaml").read_text()):
            if one["kind"] in {"Role", "RoleBinding"}:
                await self.apply({**one, "metadata": {"name": one["metadata"]["name"]}})

    async def set_up(self) -> None:
        """Create everything but the recovery."""
        await self.let_the_operator_in()
        message = {"task": "work.run", "args": '["$(id)"]'}
        kind = {"kind": self.worker_kind, **({"apiVersion": ROLLOUT.api_version} if self.rollout else {})}
        await self.target(
            queues=[{"name": q, "workers": [{**kind, "name": "worker"}], "message": message} for q in QUEUES]
        )
        await self._neighbours()
        await self._jobs_and_messages()
        await self._start_workers()

    @asynccontextmanager
    async def recovering(self, name: str = NAME, *, every_queue: bool = False, **spec: object) -> AsyncIterator[None]:
        """Create a recovery, and watch it while the block runs."""
        jobs = [{"id": job.label} if job.document else _written_out() for job in self.listed]
        if every_queue:
            # Those that are skipped are listed for another queue than their messages are in.
            skipped = [job.document is not None and job.document["status"] == "pending" for job in self.listed]
            jobs = [{**job, "queue": "aside" if aside else "work"} for job, aside in zip(jobs, skipped, strict=True)]
            spec["queue"] = "*"
        await self.recovery(name, **{"jobs": jobs, "reenqueue": {"ratePerSecond": 8}, **spec})
        async with self._watching(name):
            yield

    @asynccontextmanager
    async def created_again(self, body: Json) -> AsyncIterator[None]:
        """Delete the recovery and create it with the same name and spec, and watch it while the block runs."""
        await self.create_again(body)
        async with self._watching(NAME):
            yield

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Create a recovery whose queue another cluster's recovery has locked, until this one says that it waits."""
        lock, run = "queuerecovery.dev:lock:work", "queuerecovery.dev:run:elsewhere"
        await self.redis.hset(run, mapping={"uid": "elsewhere", "name": "team/elsewhere", "state": "preparing"})
        await self.redis.set(lock, "elsewhere")

        async def waits() -> bool:
            # This one, or the next one if it was removed before it said so; or it is over and will not say so.
            return self.watched.waits_for(Reason.LOCKED) or self.watched.ended

        async def unlock() -> None:
            await until(waits, "the recovery to wait for the lock")
            await self.redis.delete(lock, run)

        async with self.recovering():
            unlocking = ensure_future(unlock())
            try:
                yield
            finally:
                unlocking.cancel()

    @asynccontextmanager
    async def restoring(self) -> AsyncIterator[None]:
        """Create a recovery that puts some of an earlier one's messages back, and watch it while the block runs."""
        await self.recovery(NAME, restoreFrom={"name": EARLIER, "taskIds": CHOSEN})
        async with self._watching(NAME):
            yield

    @asynccontextmanager
    async def _watching(self, name: str) -> AsyncIterator[None]:
        self.watched = Watched()
        following = ensure_future(self.watched.follow(self, name))
        try:
            await self.watched.becomes(lambda watched: bool(watched.body), "the recovery to be there")
            yield
        except DeadlineError:
            if following.done():
                following.result()  # the watch has ended, and this says why
            raise
        finally:
            following.cancel()

    async def _neighbours(self) -> None:
        """Store in the broker what a recovery must not touch."""
        await self.redis.lpush("mail", *(envelope(f"mail-{n}", "mail") for n in range(3)))
        await self.redis.sadd("_kombu.binding.mail", f"mail{SEP}{SEP}mail")
        await self.redis.set("celery-task-meta-1", "result")
        await self.redis.set("queuerecovery.dev:lock:mail", "somebody")
        await self.redis.hset("queuerecovery.dev:run:somebody", mapping={"uid": "somebody", "state": "preparing"})
        await self.redis.lpush("queuerecovery.dev:quarantine:somebody:1:ready:0", "theirs")
        keys = [key.decode() for key in await self.redis.keys("*") if isinstance(key, bytes)]
        self.others = {key: await self.redis.dump(key) for key in keys}
        for tag in ("mail-held-1", "mail-held-2"):
            self.foreign[tag] = json.dumps([json.loads(envelope(tag, "mail")), "", "mail"]).encode()
        self.foreign["unreadable"] = b"\x80\x02pickle"
        for tag, entry in self.foreign.items():
            await self._hold(tag, entry)

    async def _jobs_and_messages(self) -> None:
        for number in range(3):
            task = f"poison-{number}"
            job = await self.failed_job(task_id=task)
            message = envelope(task, args=(job, ["not", "text"]))
            await self.redis.lpush("work" if number else f"work{SEP}3", message)
            self.queue[task] = message
            await self._list(job)
        await self._list(await self.failed_job(status="done"))
        self.listed.append(Listed(key="4:task", label="work.run (jobs[4])", name=WRITTEN_OUT, document=None))
        for number in range(3):
            message = envelope(f"low-{number}") if number else b"no json at all"
            await self.redis.lpush(UNDECLARED, message)
            self.queue[f"low-{number}" if number else "no json at all"] = message
        if self.pending:
            await self._list(await self.failed_job(status="pending", task_id="pending-0"))
            await self._list(await self.failed_job(status="pending", task_id="pending-1"))
            self.queue["pending-0"] = envelope("pending-0")
            await self.redis.lpush(UNDECLARED, self.queue["pending-0"])
            self.queue["pending-1"] = json.dumps([json.loads(envelope("pending-1")), "", "work"]).encode()
            await self._hold("pending-1", self.queue["pending-1"])
        if self.restarts:
            await self._list(await self.failed_job(task_id="lost"))
        for tag in STRANDED:
            await self._strand(tag, envelope(tag))
        if self.redelivers and not self.restarts:
            message = json.loads(envelope(STRANDED_ELSEWHERE))
            await self._strand(STRANDED_ELSEWHERE, _with_priority(message, 7))

    async def _strand(self, tag: str, message: bytes) -> None:
        """Store a message of the queue in `unacked` that no live worker knows of."""
        self.queue[tag] = json.dumps([json.loads(message), "", "work"]).encode()
        await self._hold(tag, self.queue[tag])

    async def _list(self, job: str) -> None:
        key = f"{len(self.listed)}:str:{job}"
        self.listed.append(Listed(key=key, label=job, name=job, document=await self.job(job)))

    async def _hold(self, tag: str, entry: bytes) -> None:
        """Store an entry in `unacked` that no live worker knows of."""
        await self.redis.hset("unacked", tag, entry)
        await self.redis.zadd("unacked_index", {tag: self.delivered})

    async def _start_workers(self) -> None:
        container = {
            "name": "worker",
            "image": IMAGE,
            "command": CELERY if self.real_workers else CONSUMER,
            "env": [{"name": "BROKER_URL", "value": self.broker_url}],
        }
        grace = CELERY_GRACE if self.real_workers else GRACE
        template = {
            "metadata": {"labels": {"app": "worker"}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": grace},
        }
        spec = {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "worker"}}, "template": template}
        kind = self.worker_kind
        self._manifest = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "worker"}, "spec": spec}
        if self.rollout:
            self._manifest = rollout(self._manifest, {"setWeight": 50}, {"pause": {}})
        await self.apply(self._manifest)
        if self.stateful:
            await self.apply(scaled_object(SCALER, kind=kind, minimum=REPLICAS))

        async def stuck() -> bool:
            entries = await self.redis.hvals("unacked")
            return all(any(task.encode() in entry for entry in entries) for task in self.queue if "poison" in task)

        await until(stuck, "the workers to hold what is poisoned")
        if self.redelivers:
            await self._strand(RECENT, envelope(RECENT))
            await self.redis.zadd("unacked_index", {RECENT: time()})


def message_in(entry: bytes) -> bytes:
    """Return the message in an entry of `unacked`, as it is in a list."""
    return json.dumps(json.loads(entry)[0]).encode()


def _with_priority(message: Json, priority: int) -> bytes:
    return json.dumps({**message, "properties": {**message["properties"], "priority": priority}}).encode()


def _written_out() -> Json:
    return {"task": "work.run", "args": json.dumps([WRITTEN_OUT])}
