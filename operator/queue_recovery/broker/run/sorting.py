"""Sort a taken list into what stays in the quarantine and what goes back, and return that to the queue in one step.

A list is sorted in batches: what stays is rotated to the other end of the same list, what goes back is moved to a list
beside it. Only when all is sorted does that list become the queue's, in one step: until then no worker can consume from
it, so that its order holds even while workers run (`docs/decisions/0006-kept-messages-come-back-in-one-step.md`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from queue_recovery.broker.connection.batches import MOST_BYTES, MOST_ENTRIES, PageSize, fitting
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.connection.values import Large, Value, size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import read_message
from queue_recovery.broker.layout.headers import task_id
from queue_recovery.broker.layout.own_keys import (
    LARGE_LEFT_FIELD,
    LEFT_FIELD,
    LEFT_ID_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    attempt_and_priority,
    left_ending,
    ready_ending,
)
from queue_recovery.broker.run.record import read_record
from queue_recovery.broker.run.script import forged, lost_data, run_script
from queue_recovery.broker.run.selection import Jobs, Selection, digest
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Run


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What happens to one message of a list that is sorted."""

    stays: bool
    """Whether it stays in the quarantine; otherwise it goes back."""
    unread: bool = False
    """Whether it goes back because it is too large to be read."""
    instead: bytes | None = None
    """The message that goes back in its place."""
    left_id: str | None = None
    """Its task id, to be recorded: it goes back, and is the message of a listed job."""


Judge = Callable[[Value, str], Verdict]
"""Judges a message. The text is its place among all that are sorted, and is the same when it is judged again."""


async def return_left(db: Database, run: Run, jobs: Jobs | None = None) -> None:
    """Sort what the last boundary took, and return what is to be left to the tail of its list.

    Continues where an earlier call stopped, and records which of the jobs' task ids were left. Without `jobs`, they are
    those of this run, and those that its boundary recorded of jobs of other queues. Of a run that is being closed, what
    the broker has lost is written off.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`.
    """
    record = await read_record(db, run.uid)
    if record is None:
        raise lost_data()
    jobs = jobs or Jobs.of(record.jobs.values(), record.leave_digests)
    unsorted = record.unsorted
    for priority, key in db.layout.possible_lists(run.queue).items():
        ending = ready_ending(record.attempt, priority)
        if ending in unsorted:
            quarantined = db.own.quarantine(run.uid, ending)
            going = db.own.quarantine(run.uid, left_ending(record.attempt, priority))
            taken = _List(db, run, ending, quarantined, going, [LEFT_FIELD + ending])
            await taken.sort(_selects(run, jobs))
            await taken.rejoin(key)


async def return_restored(db: Database, run: Run, judge: Judge) -> None:
    """Sort what is not sorted yet of an earlier run's quarantine, and return what is restored, list by list.

    The lists of the last purge attempt come first: they have the newest messages. Of a run that is being closed, what
    the broker has lost is written off.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`.
    """
    record = await read_record(db, run.uid)
    if record is None or record.earlier is None:
        raise lost_data()
    for ending in sorted(record.unsorted, key=attempt_and_priority, reverse=True):
        attempt, priority = attempt_and_priority(ending)
        counters = [LEFT_FIELD + one for one in record.quarantined_lists if attempt_and_priority(one)[1] == priority]
        quarantined = db.own.quarantine(record.earlier, ending)
        going = db.own.quarantine(run.uid, left_ending(1, priority))
        taken = _List(db, run, ending, quarantined, going, counters)
        await taken.sort(judge)
        if attempt > 1:
            # The list is complete only with the first attempt's messages; the other attempts' keys do not exist.
            going = db.own.quarantine(run.uid, left_ending(attempt, priority))
            taken = replace(taken, going=going, counters=[])
        await taken.rejoin(db.layout.list_of(run.queue, priority))


def stays(message: Value, place: str) -> Verdict:
    """Judge that a message stays in the quarantine: a restore that ends early restores no more."""
    del message, place
    return Verdict(stays=True)


def _selects(run: Run, jobs: Jobs) -> Judge:
    selection = Selection(run.select, jobs)

    def judge(message: Value, _: str) -> Verdict:
        envelope = read_message(message)
        if selection.matches(envelope):
            return Verdict(stays=True)
        name = task_id(envelope)
        return Verdict(stays=False, unread=isinstance(message, Large), left_id=name if name in jobs.ids else None)

    return judge


@dataclass(frozen=True)
class _List:
    """A taken list that is sorted, and the list of its messages that go back."""

    db: Database
    run: Run
    ending: str
    quarantined: str
    going: str
    counters: Sequence[str]
    """The run's fields that count what goes back."""

    async def sort(self, judge: Judge) -> None:
        """Sort all. Each batch states how many messages are unsorted, and does nothing if that is not so any more."""
        client = self.db.client
        unsorted = await self._unsorted()
        page = PageSize()
        while unsorted:
            messages = await client.lrange(self.quarantined, 0, min(unsorted, page.entries) - 1)
            if not messages:
                before, unsorted = unsorted, await self._unsorted()
                if unsorted == before:  # otherwise another process has sorted the rest of the list meanwhile
                    unsorted = await self._unsorted_of_what_is_there()
                continue
            sizes = list(map(size_of, messages))
            page.note(sizes)
            batch = messages[: fitting(sizes)]
            verdicts = [judge(message, f"{self.ending}:{unsorted - n}") for n, message in enumerate(batch)]
            answer = await self._send(verdicts, unsorted)
            if answer[0] == b"MISSING":
                unsorted = await self._unsorted_of_what_is_there()
            else:
                unsorted = self._number(answer[1])

    async def rejoin(self, key: str) -> None:
        """Make what goes back the queue's list again, followed by what producers have pushed meanwhile."""
        keys = [self._record, self.going, key]
        limits = (MOST_ENTRIES, MOST_BYTES)
        while await self._unsorted() is not None:
            arguments: list[Word] = [self.run.uid, UNSORTED_FIELD + self.ending, *limits, *self.counters]
            answer = await run_script(self.db, Script.REJOIN, keys, arguments)
            if answer[0] == b"MISSING":
                await self._write_off()

    async def _send(self, verdicts: Sequence[Verdict], unsorted: int) -> list[bytes]:
        fields = [field + self.ending for field in (UNSORTED_FIELD, TAKEN_FIELD, LEFT_FIELD, LARGE_LEFT_FIELD)]
        letters = "".join(map(_letter, verdicts))
        instead = [v.instead for v in verdicts if v.instead is not None]
        found = [
            LEFT_ID_FIELD + digest(name) for name in sorted({v.left_id for v in verdicts if v.left_id is not None})
        ]
        arguments: list[Word] = [self.run.uid, *fields, unsorted, letters, len(instead), *instead, *found]
        return await run_script(self.db, Script.SORT, [self._record, self.quarantined, self.going], arguments)

    async def _unsorted_of_what_is_there(self) -> int | None:
        await self._write_off()
        return await self._unsorted()

    async def _write_off(self) -> None:
        """Write off what the broker has lost, or no ending would come to its end.

        Raises:
            RecoveryError: `BrokerLostData`, if the run is not being closed.
        """
        fields = [UNSORTED_FIELD + self.ending, TAKEN_FIELD + self.ending, *self.counters]
        keys = [self._record, self.quarantined, self.going]
        await run_script(self.db, Script.WRITE_OFF, keys, [self.run.uid, *fields])

    async def _unsorted(self) -> int | None:
        """Return how many messages are unsorted; None: the list's messages that go back are in the queue."""
        (left,) = await self.db.client.hmget(self._record, UNSORTED_FIELD + self.ending)
        return None if left is None else self._number(left)

    @property
    def _record(self) -> str:
        return self.db.own.run(self.run.uid)

    def _number(self, value: bytes) -> int:
        if not value.isdigit():
            raise forged(self._record)
        return int(value)


def _letter(verdict: Verdict) -> str:
    """Return a verdict as `sort.lua` takes it."""
    if verdict.stays:
        return "1"
    if verdict.instead is not None:
        return "2"
    return "3" if verdict.unread else "0"
