"""A queue of real workers that is stuck with all that can be in it, and another application's workers beside it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from celery import Celery

from sandbox.api import Json
from sandbox.processes import until
from tests.e2e.team import Team, envelope

PLAIN = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
_MAILER = ["celery", "-A", "tests.e2e.every_kind_app:mail", "worker", "--pool=solo", "--queues=mail", *PLAIN]
_LISTS = ("work", "work\x06\x163", "work\x06\x166", "work\x06\x169")
_LETTERS = 120
_LEFT = 400
_VISIBILITY = 1
"""The other application's `visibility_timeout`."""
_SECONDS = 120
"""For each wait: all kinds of workers share two cores."""


@dataclass
class Incident:
    """Messages are named by their task ids, jobs by their ids in the job store, workers as they call themselves."""

    team: Team
    producer: Celery
    poison: list[str] = field(default_factory=list)
    """Fail and are tried again."""
    later: list[str] = field(default_factory=list)
    """Have an ETA."""
    running: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Prefetched, or in the lists."""
    left: list[str] = field(default_factory=list)
    """Held by no worker any more."""
    jobs: list[str] = field(default_factory=list)
    """To be enqueued again."""
    old_workers: list[str] = field(default_factory=list)
    others: object = None
    """Keys of other programs, as they were."""
    first_letter: float = 0
    """When a sweep may find the first letter, in seconds; one more each second."""
    began: float = 0
    over: float = 0
    status: Json = field(default_factory=dict)

    async def stage(self, worker: list[str], *, replicas: int, prefetches: bool) -> None:
        """Let the workers get stuck."""
        await self.team.target(
            queue={
                "message": {"task": "work.render", "args": '["$(id)"]'},
                "tasks": ["work.render", "work.render_late"],
            },
            fields={"task": "task"},
        )
        self.others = await self._put_others()
        # First of all: the sweep at its start would lose what came through the topic exchange (see `every_kind_app`).
        await self.team.workers("mailer", command=_MAILER, replicas=1)
        await self.started("mail", 1)
        await self.team.workers(command=worker, replicas=replicas)
        self.old_workers = await self.started("work", replicas)
        for topic in (True, False):
            for late in ("", "_late"):
                self.poison.append(await self._send(f"work.render{late}", ["no", "text"], topic=topic))
                self.later.append(await self._send(f"work.render{late}", topic=topic, countdown=3600))
        await self._wait("poison to be tried again", lambda ran, _: all(ran.count(one) >= 2 for one in self.poison))
        await self._wait("jobs with an ETA to be held", lambda _, held: held >= set(self.later))
        for late in ("", "_late"):
            self.running.append(await self._send(f"work.hold{late}", topic=bool(late), listed=False))
        await self._wait("jobs to run", lambda ran, _: set(ran) >= set(self.running))
        callback = self.producer.signature("work.render", args=["called back"], immutable=True)
        for n in range(12):
            late, priority = ("", "_late")[n % 2], (0, 3, 6, 9)[n % 4]
            sent = await self._send(f"work.render{late}", topic=n < 6, priority=priority, link=callback)
            self.waiting.append(sent)
        if prefetches:
            await self._wait("jobs to be prefetched", lambda _, held: bool(held & set(self.waiting)))

    async def leave_behind(self) -> None:
        """Leave messages of both queues in `unacked`, as killed workers do, for sweeps to give back bit by bit."""
        self.first_letter = time.time()
        for n in range(_LETTERS):
            await self._leave(f"letter-{n}", ("", "mail"), "mail.send", str(n), self.first_letter + n)
        for n in range(_LEFT):
            route = ("jobs", "work.high") if n % 2 else ("", "work")
            await self._leave(f"left-{n}", route, "work.render", "left", self.first_letter + n / 10)
            self.left.append(f"left-{n}")
        await until(self.letters, "the first letter to be swept and sent", seconds=_SECONDS)

    async def recover(self) -> None:
        """Recover the queue; what runs goes on for a while after its worker was told to stop."""
        self.began = time.time()
        await self.team.recovery(jobs=[{"id": job} for job in self.jobs])
        await until(self._stopping, "the workers' pods to be told to end", seconds=_SECONDS)
        await self.team.redis.xadd("stopping", {"now": "1"})
        self.status = await self.team.reached("Succeeded", seconds=_SECONDS)
        self.over = time.time()
        fresh = {(await self.team.job(job))["task_id"] for job in self.jobs}
        await self._wait("every listed job to run", lambda ran, _: fresh <= set(ran))
        await until(self._empty, "the queue to be worked off", seconds=_SECONDS)
        await until(self._letters_due, "the letters that were due to be sent", seconds=_SECONDS)

    async def started(self, application: str, count: int) -> list[str]:
        """Wait until so many of an application's workers have ever been ready; return them, the first one first."""

        async def all_started() -> list[str] | None:
            lines = await self.team.redis.lrange(f"started:{application}", 0, -1)
            return [line.decode() for line in lines if isinstance(line, bytes)] if len(lines) >= count else None

        return await until(all_started, f"{count} workers of {application} to start", seconds=_SECONDS)

    async def ran(self, *events: str) -> list[dict[str, Any]]:
        """Return what the workers wrote down of such events."""
        lines = [json.loads(line) for line in await self.team.redis.lrange("ran", 0, -1)]
        return [line for line in lines if line["event"] in events]

    async def letters(self) -> list[dict[str, Any]]:
        """Return the letters that were sent."""
        return await self.ran("sent")

    async def quarantined(self) -> set[str]:
        """Return the messages in the quarantine."""
        found = set()
        async for key in self.team.redis.scan_iter(f"{self.status['quarantine']['name']}:*"):
            kind = await self.team.redis.type(key)
            if kind == b"list":
                messages = [json.loads(message) for message in await self.team.redis.lrange(key, 0, -1)]
            elif kind == b"hash":
                messages = [json.loads(entry)[0] for entry in await self.team.redis.hvals(key)]
            else:
                continue
            found |= {message["headers"]["id"] for message in messages}
        return found

    async def others_now(self) -> object:
        """Return keys of other programs, and what another queue has in `unacked`, as they are."""
        keys = ("cache", "counters", "reports")
        entry = await self.team.redis.hget("unacked", "report")
        score = await self.team.redis.zscore("unacked_index", "report")
        return [*[await self.team.redis.dump(key) for key in keys], entry, score]

    async def _put_others(self) -> object:
        redis = self.team.redis
        await redis.set("cache", "a value")
        await redis.hset("counters", "a", "1")
        await redis.lpush("reports", envelope("a report", "reports"))
        held = [json.loads(envelope("a held report", "reports")), "", "reports"]
        await redis.hset("unacked", "report", json.dumps(held))
        await redis.zadd("unacked_index", {"report": time.time() + 3600})
        return await self.others_now()

    async def _leave(self, name: str, route: tuple[str, str], task: str, argument: str, due: float) -> None:
        message = json.loads(envelope(name, route[1], (argument,), task=task))
        # A worker that has fetched it and stops gives it back to where its envelope says, not the entry.
        message["properties"]["delivery_info"]["exchange"] = route[0]
        await self.team.redis.hset("unacked", name, json.dumps([message, *route]))
        await self.team.redis.zadd("unacked_index", {name: due - _VISIBILITY})

    async def _send(self, task: str, *args: object, topic: bool, listed: bool = True, **options: object) -> str:
        """Send a message for a new job, as the application does."""
        task_id = str(uuid4())
        job = await self.team.failed_job(task_id=task_id, task=task)
        route = ("jobs", "work.high") if topic else ("", "work")
        self.producer.send_task(task, [job, *args], task_id=task_id, exchange=route[0], routing_key=route[1], **options)
        if listed:
            self.jobs.append(job)
        return task_id

    async def _wait(self, what: str, condition: Callable[[list[str], set[str]], bool]) -> None:
        """Wait for a condition on the tasks that have begun, once for each time, and the messages in `unacked`."""

        async def holds() -> bool:
            return condition([line["id"] for line in await self.ran("began")], await self._held())

        await until(holds, what, seconds=_SECONDS)

    async def _held(self) -> set[str]:
        entries = [json.loads(entry) for entry in await self.team.redis.hvals("unacked")]
        return {envelope["headers"]["id"] for envelope, _, key in entries if key.startswith("work")}

    async def _stopping(self) -> bool:
        pods = (await self.team.api.get(f"/api/v1/namespaces/{self.team.namespace}/pods"))["items"]
        workers = [pod["metadata"] for pod in pods if pod["metadata"]["labels"]["app"] == "worker"]
        return bool(workers) and all("deletionTimestamp" in one for one in workers)

    async def _empty(self) -> bool:
        return not await self._held() and not await self.team.redis.exists(*_LISTS)

    async def _letters_due(self) -> bool:
        due = {str(n) for n in range(_LETTERS) if self.first_letter + n < self.over}
        return due <= {letter["job"] for letter in await self.letters()}
