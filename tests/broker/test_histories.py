"""Histories of producers, workers, restore sweeps and recoveries, as hypothesis makes them up, on real servers.

Every step is kombu's or the broker room's own; a recovery's process may die after any command, and another goes on.
After each step every message that was ever sent is in one place, and what is nobody's business is as before.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis
from typing_extensions import override

from queue_recovery.api.reasons import Outcome
from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run, Task
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, recovery, restoring
from tests.broker.conftest import on_one_server
from tests.broker.dying import dying, sends_twice
from tests.broker.test_ending_runs import LATER

pytestmark = pytest.mark.thorough

T = TypeVar("T")

LISTS = {0: "tts", 3: f"tts{SEP}3"}
OWN = b"queuerecovery.dev:"
MOST_RECOVERIES, MOST_RESTORES = 3, 3
TRIPS = [2, 4, 6, 8, 10, 20, 40, 160]
"""After how many commands a process may die."""

many = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # to look for a shorter history takes longer than a test may
)


@dataclass
class Recovery:
    """A recovery of the queue `tts`, driven as the steps of `queue_recovery.recovery` drive it."""

    run: Run
    tasks: list[Task]
    at: Literal["lock", "take", "restore", "push", "end", "over"] = "lock"
    found: dict[int, list[str]] | None = None
    """What was in each list at the boundary, by priority."""
    sent_since: set[str] = field(default_factory=set)
    """What was sent after it."""

    @property
    def restores(self) -> bool:
        """Whether it puts messages of an earlier one back."""
        return self.run.restore is not None

    def takes(self, name: str) -> bool:
        """Tell whether the recovery takes a message: an odd number was retried."""
        return self.run.select is None or int(name.split("-")[1]) % 2 == 1


class Histories(RuleBasedStateMachine):
    """One server, one worker of each queue, one producer, and some recoveries of one of the queues."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stack = ExitStack()
        self.redis = self._stack.enter_context(Redis.from_url(server.url))
        self.redis.flushall()
        self.brokers = [sends_twice(RedisBroker.connect(server.url, TransportOptions())) for _ in range(2)]
        self.applications = {
            queue: self._stack.enter_context(Application.connected(server.url)) for queue in ("tts", "mail")
        }
        self.applications["mail"].channel.visibility_timeout = -1
        self.held: dict[str, list[tuple[str, str]]] = {"tts": [], "mail": []}
        self.recoveries: list[Recovery] = []
        self.sent: list[str] = []
        self.executed: list[str] = []

    @override
    def teardown(self) -> None:
        """End every recovery, and put back all that the quarantines hold: all that was sent is there again."""
        try:
            self._end_all()
            for one in [one for one in self.recoveries if not one.restores]:
                self.recoveries.append(Recovery(restoring(one.run), []))
                self._end_all()
            assert not self.redis.keys(OWN + b"quarantine:*")
            assert not self.redis.keys(OWN + b"lock:*")
            self.every_message_is_in_one_place()
        finally:
            self._close()

    def _end_all(self) -> None:
        for one in self._sorted_by_lock():
            self._attempt(one, self.brokers[0], trips=100_000)
            assert one.at == "over"

    def _close(self) -> None:
        for broker in self.brokers:
            self._do(broker.aclose())
        self._stack.close()
        self._runner.close()

    def _do(self, awaitable: Awaitable[T]) -> T:
        async def done() -> T:
            return await awaitable

        return self._runner.run(done())

    @property
    def stopped(self) -> bool:
        """Whether a recovery has stopped the workers of `tts`."""
        return any(one.at == "take" for one in self.recoveries)

    @rule(queue=st.sampled_from(["tts", "tts", "mail"]), count=st.sampled_from([1, 2, 130]), high=st.booleans())
    def produce(self, queue: str, count: int, *, high: bool) -> None:
        """The application enqueues messages, every other one as if it had been retried."""
        for _ in range(count):
            name = f"{queue}-{len(self.sent)}"
            self.applications["mail"].send(queue, name, retries=len(self.sent) % 2, priority=0 if high else 3)
            self.sent.append(name)
            for one in self.recoveries:
                one.sent_since.add(name)

    @rule(queue=st.sampled_from(["tts", "mail"]), count=st.integers(1, 40))
    def fetch(self, queue: str, count: int) -> None:
        """A worker takes messages and has not finished them yet."""
        if queue == "tts" and self.stopped:
            return
        for _ in range(count):
            message = self.applications[queue].channel.basic_get(queue)
            if message is not None:
                self.held[queue].append((message.headers["id"], message.delivery_tag))

    @rule(queue=st.sampled_from(["tts", "mail"]), count=st.integers(1, 20))
    def finish(self, queue: str, count: int) -> None:
        """A worker finishes what it has taken first; somebody else may have put that back, so it may run again."""
        for _ in range(min(count, len(self.held[queue]))):
            name, tag = self.held[queue].pop(0)
            if self.redis.hexists("unacked", tag):
                self.executed.append(name)
            self.applications[queue].channel.basic_ack(tag)

    @rule(count=st.integers(1, 40))
    def sweep(self, count: int) -> None:
        """A worker of the other queue puts back what was delivered too long ago, of any queue."""
        self.applications["mail"].restore_visible(count)

    @initialize(selects=st.booleans(), waiting=st.sampled_from([1, 5, 130]), held=st.integers(0, 130))
    def begin(self, waiting: int, held: int, *, selects: bool) -> None:
        """Every history has a recovery."""
        self.recover(waiting, held, selects=selects)

    @precondition(lambda self: sum(not one.restores for one in self.recoveries) < MOST_RECOVERIES)
    @rule(selects=st.booleans(), waiting=st.sampled_from([1, 5, 130]), held=st.integers(0, 130))
    def recover(self, waiting: int, held: int, *, selects: bool) -> None:
        """Somebody creates a recovery: the queue is deep, and workers hold much of it."""
        self.produce("tts", waiting, high=False)
        self.produce("tts", waiting, high=True)
        self.fetch("tts", held)
        number = len(self.recoveries)
        tasks = [
            Task(key=f"{n}:int:{n}", task_id=f"job{number}-{2 * n}", task="tts.render", args="[]", kwargs="{}")
            for n in range(3)
        ]
        run = recovery("tts", select=PurgeSelect(min_retries=1) if selects else None)
        self.recoveries.append(Recovery(run, tasks))

    @precondition(lambda self: any(one.at == "over" and not one.restores for one in self.recoveries))
    @precondition(lambda self: sum(one.restores for one in self.recoveries) < MOST_RESTORES)
    @rule(data=st.data(), named=st.booleans())
    def restore(self, data: st.DataObject, *, named: bool) -> None:
        """Somebody creates a recovery that puts messages of an ended one back, all or some, while workers work."""
        ended = [one for one in self.recoveries if one.at == "over" and not one.restores]
        names = [name for name in self.sent if int(name.split("-")[1]) % 3] if named else None
        run = restoring(data.draw(st.sampled_from(ended)).run, task_ids=names)
        self.recoveries.append(Recovery(run, []))

    @precondition(lambda self: any(one.at in {"take", "restore", "push"} for one in self.recoveries))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """The user cancels one; it ends when it is worked on next."""
        active = [one for one in self.recoveries if one.at in {"take", "restore", "push"}]
        data.draw(st.sampled_from(active)).at = "end"

    @precondition(lambda self: any(one.at != "over" for one in self.recoveries))
    @rule(
        data=st.data(), attempts=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(TRIPS)), min_size=1, max_size=4)
    )
    def work(self, data: st.DataObject, attempts: list[tuple[int, int]]) -> None:
        """Some processes work on a recovery, one after the other, and each dies after so many commands."""
        one = data.draw(st.sampled_from([one for one in self.recoveries if one.at != "over"]))
        for process, trips in attempts:
            self._attempt(one, self.brokers[process], trips)

    def _attempt(self, one: Recovery, broker: RedisBroker, trips: int) -> None:
        """Work on a recovery until it can go no further, or the process dies; producers go on then."""
        before, others, was_taking = self._lists(), self._others(), one.at in {"lock", "take"}
        with dying(broker, trips) as death:
            self._do(self._steps(one, broker))
        assert self._others() == others
        if not one.restores and one.found is None and self._field(one, "attempt") == "1":
            one.found, one.sent_since = before, set()
        if was_taking and one.at in {"push", "end", "over"} and one.found is not None:
            self._check_taken(one, one.found)
        if death:
            self.produce("tts", 1, high=True)

    def _sorted_by_lock(self) -> list[Recovery]:
        """Return the recoveries that are not over, with the one first that holds the lock, for which others wait.

        The broker is asked: a process may have died between its lock and its knowing of it.
        """
        holder = self.redis.get(OWN + b"lock:tts")
        return sorted(
            (one for one in self.recoveries if one.at != "over"), key=lambda one: one.run.uid.encode() != holder
        )

    async def _steps(self, one: Recovery, broker: RedisBroker) -> None:
        steps: Mapping[str, Callable[[Recovery, RedisBroker], Awaitable[None]]] = {
            "lock": self._lock,
            "take": self._take,
            "restore": self._restore,
            "push": self._push,
            "end": self._end,
        }
        at = None
        while one.at in steps and at != one.at:
            at = one.at
            await steps[at](one, broker)

    async def _lock(self, one: Recovery, broker: RedisBroker) -> None:
        if one.run.restore is not None and not (await broker.restorable("tts", one.run.restore)).restore:
            one.at = "over"
            return
        try:
            await broker.run(one.run).open()
        except RecoveryError as error:
            if error.outcome is not Outcome.NOT_YET:
                raise
            return
        if one.restores:
            one.at = "restore"
            return
        one.at = "take"
        self.applications["tts"].disappear()
        self.held["tts"].clear()

    @staticmethod
    async def _take(one: Recovery, broker: RedisBroker) -> None:
        await broker.run(one.run).take()
        one.at = "push"

    @staticmethod
    async def _restore(one: Recovery, broker: RedisBroker) -> None:
        await broker.run(one.run).restore()
        one.at = "end"

    @staticmethod
    async def _push(one: Recovery, broker: RedisBroker) -> None:
        await broker.run(one.run).push({one.run.queue: one.tasks})
        one.at = "end"

    @staticmethod
    async def _end(one: Recovery, broker: RedisBroker) -> None:
        await broker.run(one.run).close()
        await broker.run(one.run).release(expires=LATER, retain=True)
        one.at = "over"

    def _check_taken(self, one: Recovery, found: Mapping[int, list[str]]) -> None:
        """What was taken is in its order in the quarantine; what was left is consumed next, in its order."""
        now = self._lists()
        for priority, names in found.items():
            taken = self.redis.lrange(f"queuerecovery.dev:quarantine:{one.run.uid}:1:ready:{priority}", 0, -1)
            assert [_name(message) for message in taken] == [name for name in names if one.takes(name)]
            left = [name for name in names if not one.takes(name)]
            assert now[priority][len(now[priority]) - len(left) :] == left
        waiting = {*now[0], *now[3], *self._unacked()}
        assert not {name for name in waiting - one.sent_since if name.startswith("tts-") and one.takes(name)}

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        """Nothing is lost, and nothing is there twice."""
        places = Counter(self._places()) + Counter(self.executed)
        jobs = Counter({name: count for name, count in places.items() if name.startswith("job")})
        assert places - jobs == Counter(self.sent)
        assert not jobs or max(jobs.values()) == 1

    @invariant()
    def every_entry_has_the_time_of_its_delivery(self) -> None:
        """No worker would ever give an entry back that has none."""
        assert {tag for tag, _ in self.redis.zscan_iter("unacked_index")} == set(self.redis.hkeys("unacked"))

    def _places(self) -> list[str]:
        names = []
        for key in self.redis.keys("*"):
            if key.startswith((OWN + b"quarantine:", b"tts", b"mail")) or key == b"unacked":
                kind = self.redis.type(key)
                if kind == b"list":
                    names += [_name(message) for message in self.redis.lrange(key, 0, -1)]
                elif kind == b"hash":
                    names += [_entry(entry) for entry in self.redis.hvals(key)]
        return names

    def _others(self) -> dict[bytes, object]:
        """Everything that is not of the queue `tts` or the operator's own."""
        mail = {key: self.redis.dump(key) for key in self.redis.keys("mail*")}
        entries = self.redis.hgetall("unacked")
        held = {tag: entry for tag, entry in entries.items() if _entry(entry).startswith("mail-")}
        times = {tag: self.redis.zscore("unacked_index", tag) for tag in held}
        return {**mail, b"unacked": held, b"unacked_index": times}

    def _lists(self) -> dict[int, list[str]]:
        return {
            priority: [_name(message) for message in self.redis.lrange(key, 0, -1)] for priority, key in LISTS.items()
        }

    def _unacked(self) -> list[str]:
        return [_entry(entry) for entry in self.redis.hvals("unacked")]

    def _field(self, one: Recovery, name: str) -> str | None:
        value = self.redis.hget(f"queuerecovery.dev:run:{one.run.uid}", name)
        return None if value is None else value.decode()


def _name(message: bytes) -> str:
    name: str = json.loads(message)["headers"]["id"]
    return name


def _entry(entry: bytes) -> str:
    name: str = json.loads(entry)[0]["headers"]["id"]
    return name


@on_one_server
def test_messages_are_conserved_and_keep_their_order_in_any_history(server: Server) -> None:
    class OnServer(Histories):
        def __init__(self) -> None:
            super().__init__(server)

    run_state_machine_as_test(OnServer, settings=many)
