"""Read a run's record in the broker: its fields, and what they add up to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from queue_recovery.api.base import is_full_name
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.own_keys import (
    JOB_FIELD,
    LARGE_FIELD,
    LARGE_LEFT_FIELD,
    LEAVE_ID_FIELD,
    LEFT_FIELD,
    LEFT_ID_FIELD,
    SEEN_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    OwnKeys,
    attempt_of,
    recovery_uid,
)
from queue_recovery.broker.run.script import already_closed, forged, lost_data
from queue_recovery.broker.run.selection import Jobs, digest
from queue_recovery.recovery.ports import Restored, SeenJob, Taken

_COUNTERS = (TAKEN_FIELD, UNSORTED_FIELD, LEFT_FIELD, LARGE_FIELD, LARGE_LEFT_FIELD)
_COUNTED = re.compile(r"\d{1,9}:(unacked|ready:\d{1,3})")
"""What follows a counter's prefix: the ending of a key."""

_NUMBERS = ("attempt", "complete", "undecodable", "expires", "lost", "redelivered")
_NUMBER = re.compile(r"\d{1,11}")


class _SeenJob(BaseModel):
    """A job as a field of a run has it: JSON, and null for a job without a document."""

    status: str | None
    task_id: str | None = Field(alias="taskId")
    recoverable: bool = True

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)


_SEEN_JOB = TypeAdapter[_SeenJob | None](_SeenJob | None)


def write_seen(job: SeenJob | None) -> bytes:
    """Return the text that records what a job looked like when nothing ran."""
    seen = None
    if job is not None:
        seen = _SeenJob(status=job.status, task_id=job.task_id, recoverable=job.recoverable)
    return _SEEN_JOB.dump_json(seen, by_alias=True)


def read_seen(text: bytes | str) -> SeenJob | None:
    """Parse what `write_seen` wrote.

    Raises:
        ValueError: it is something else; pydantic names what is wrong.
    """
    seen = _SEEN_JOB.validate_json(text)
    if seen is None:
        return None
    return SeenJob(status=seen.status, task_id=seen.task_id, recoverable=seen.recoverable)


@dataclass(frozen=True)
class Released:
    """The record of a run that was closed and released, as retention needs it."""

    name: str
    """`namespace/name` of the QueueRecovery."""
    bare_list: str
    """The queue's list of priority 0."""
    expires: int
    """When retention is over, in seconds since the epoch."""


@dataclass(frozen=True)
class Record:
    """The fields of a run's hash; their number is limited by the jobs that a recovery may list."""

    uid: str
    fields: Mapping[str, str]
    own: OwnKeys

    @property
    def attempt(self) -> int:
        """The last purge attempt whose boundary was passed; 0: none was."""
        return int(self.fields.get("attempt", 0))

    @property
    def complete(self) -> int:
        """The last complete purge attempt: it passed its boundary, and found no entry of `unacked` afterwards."""
        return int(self.fields.get("complete", 0))

    @property
    def pushed(self) -> frozenset[str]:
        """Keys of the jobs that were enqueued."""
        return frozenset(self._named(JOB_FIELD))

    @property
    def seen(self) -> frozenset[str]:
        """Keys of the frozen jobs: what they looked like when nothing ran is recorded."""
        return frozenset(self._named(SEEN_FIELD))

    @property
    def quarantined(self) -> Mapping[str, int]:
        """How many messages each list and hash of the quarantine was given, by the ending of its key."""
        return {ending: int(count) for ending, count in self._named(TAKEN_FIELD).items()}

    @property
    def quarantined_hashes(self) -> list[str]:
        """The endings of the quarantine's hashes of `unacked` entries, in their order."""
        return sorted(ending for ending in self.quarantined if ending.endswith(":unacked"))

    @property
    def quarantined_lists(self) -> list[str]:
        """The endings of the quarantine's lists, in their order."""
        return sorted(ending for ending in self.quarantined if not ending.endswith(":unacked"))

    @property
    def unsorted(self) -> Mapping[str, int]:
        """How many messages are unsorted, of each list whose left ones are not back, by the ending of its key."""
        return {ending: int(count) for ending, count in self._named(UNSORTED_FIELD).items()}

    @property
    def lost(self) -> int:
        """How many messages the broker has lost while they were sorted."""
        return int(self.fields.get("lost", 0))

    @property
    def redelivered(self) -> int:
        """How many messages in `unacked` were given back to the queue."""
        return int(self.fields.get("redelivered", 0))

    @property
    def left(self) -> int:
        """How many messages the last attempt left; it found again what earlier attempts had left."""
        return sum(
            int(count) for ending, count in self._named(LEFT_FIELD).items() if attempt_of(ending) == self.attempt
        )

    @property
    def oversized(self) -> int:
        """How many messages are too large to be read: entries of `unacked` that were taken, and any that were left."""
        left = sum(int(n) for ending, n in self._named(LARGE_LEFT_FIELD).items() if attempt_of(ending) == self.attempt)
        return left + sum(map(int, self._named(LARGE_FIELD).values()))

    @property
    def taken(self) -> Taken:
        """What has been moved into the quarantine."""
        unacked = sum(count for ending, count in self.quarantined.items() if ending.endswith(":unacked"))
        left = self.left_digests
        return Taken(
            quarantine=self.own.quarantine_name(recovery_uid(self.uid)),
            ready=sum(self.quarantined.values()) - unacked,
            unacked=unacked,
            undecodable=int(self.fields.get("undecodable", 0)),
            left=self.left,
            oversized=self.oversized,
            left_ids=frozenset(name for name in Jobs.of(self.jobs.values()).ids if digest(name) in left),
            seen=self.seen_jobs,
        )

    @property
    def left_digests(self) -> frozenset[str]:
        """Digests of the listed jobs' task ids whose message was found and left."""
        return frozenset(self._named(LEFT_ID_FIELD))

    @property
    def moved(self) -> int:
        """How many messages are in the quarantine for good, or left in the queue for good."""
        return sum(self.quarantined.values()) + self.left - sum(self.unsorted.values())

    @property
    def earlier(self) -> str | None:
        """UID of the run whose quarantine this one restores."""
        return self.fields.get("from")

    @property
    def restored(self) -> Restored:
        """How much of the earlier run's quarantine was restored, and how much stays."""
        return Restored(
            restored=sum(int(count) for count in self._named(LEFT_FIELD).values()),
            left=sum(self.quarantined.values()),
        )

    @property
    def enqueued_again(self) -> frozenset[str]:
        """The former task ids of the jobs that were looked up and enqueued."""
        seen = self.jobs
        return frozenset(task_id for key in self.pushed if key in seen and (task_id := seen[key].task_id))

    @property
    def enqueued_unknown(self) -> int:
        """How many jobs were enqueued whose former task id is not known."""
        seen = self.jobs
        return sum(key not in seen or not seen[key].task_id for key in self.pushed)

    @property
    def seen_jobs(self) -> Mapping[str, SeenJob | None]:
        """What each frozen job looked like, by its key; None: it had no document."""
        return {key: read_seen(text) for key, text in self._named(SEEN_FIELD).items()}

    @property
    def jobs(self) -> Mapping[str, SeenJob]:
        """What each frozen job that had a document looked like, by its key."""
        return {key: job for key, job in self.seen_jobs.items() if job is not None}

    @property
    def leave_digests(self) -> frozenset[str]:
        """Digests of the task ids whose messages are to be left, recorded by the boundary."""
        return frozenset(self._named(LEAVE_ID_FIELD))

    @property
    def seen_as(self) -> dict[str, str]:
        """Keys of the frozen jobs, by the task ids that they had when nothing ran."""
        return {note.task_id: key for key, note in self.jobs.items() if note.task_id}

    @property
    def released(self) -> Released:
        """What retention needs. Raises RecoveryError (`BrokerLostData`) if the record is not a released run's."""
        name, bare_list, expires = (self.fields.get(field, "") for field in ("name", "list", "expires"))
        if not is_full_name(name) or not expires:
            raise forged(self.own.run(self.uid))
        return Released(name, bare_list, int(expires))

    def key(self, ending: str) -> str:
        """Return the quarantine's key of that ending."""
        return self.own.quarantine(self.uid, ending)

    @property
    def quarantine_keys(self) -> list[str]:
        """The keys of the quarantine."""
        keys = [self.key(ending) for ending in self.quarantined]
        return [*keys, *(f"{key}_index" for key in keys if key.endswith(":unacked"))]

    def _named(self, prefix: str) -> Mapping[str, str]:
        """Return the fields with a prefix, by the rest of their names."""
        return {f.removeprefix(prefix): value for f, value in self.fields.items() if f.startswith(prefix)}


async def read_record(db: Database, uid: str) -> Record | None:
    """Return the record of a run, or None if there is none.

    Raises:
        RecoveryError: `BrokerLostData`, if it is not one that the operator has written.
    """
    key = db.own.run(uid)
    found = await db.client.record(key)
    if found is None:
        raise forged(key)
    if not found:
        return None
    fields = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in found.items()}
    if not all(_is_own(name, value) for name, value in fields.items()):
        raise forged(key)
    return Record(uid, fields, db.own)


def _is_own(name: str, value: str) -> bool:
    """Tell whether a field may be the operator's: those that are parsed have a form."""
    if name.startswith(SEEN_FIELD):
        return _is_seen_job(value)
    if name in _NUMBERS:
        return _NUMBER.fullmatch(value) is not None
    counter = next((counter for counter in _COUNTERS if name.startswith(counter)), None)
    return counter is None or bool(_COUNTED.fullmatch(name.removeprefix(counter)) and _NUMBER.fullmatch(value))


def _is_seen_job(text: str) -> bool:
    try:
        read_seen(text)
    except ValueError:
        return False
    return True


async def read_open_record(db: Database, uid: str) -> Record:
    """Return the record of a run that may still act.

    Raises:
        RecoveryError: `BrokerLostData` if there is none, `AlreadyClosed` if it has been closed.
    """
    record = await read_record(db, uid)
    if record is None:
        raise lost_data()
    if record.fields.get("state") not in ("preparing", "purged"):
        raise already_closed()
    return record
