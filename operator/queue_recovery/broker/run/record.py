"""A recovery's record in the broker: its fields, and what they add up to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from queue_recovery.api.base import is_full_name
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.layout.own_keys import (
    JOB_FIELD,
    KEPT_FIELD,
    KEPT_ID_FIELD,
    LARGE_FIELD,
    LARGE_KEPT_FIELD,
    LEFT_FIELD,
    SEEN_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    OwnKeys,
    recovery_uid,
    sweep_of,
)
from queue_recovery.broker.run.script import already_closed, forged, lost_data
from queue_recovery.broker.run.selection import Jobs, digest
from queue_recovery.recovery.ports import Restored, SeenJob, Taken

_COUNTERS = (TAKEN_FIELD, UNSORTED_FIELD, KEPT_FIELD, LARGE_FIELD, LARGE_KEPT_FIELD)
_COUNTED = re.compile(r"\d{1,9}:(unacked|ready:\d{1,3})")
"""How the name of a counter goes on: with the ending of a key."""

_NUMBERS = ("sweep", "complete", "undecodable", "expires")
_NUMBER = re.compile(r"\d{1,11}")


class _Note(BaseModel):
    status: str | None
    task_id: str | None = Field(alias="taskId")
    recoverable: bool = True

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)


_NOTE = TypeAdapter[_Note | None](_Note | None)


def note_of(seen: SeenJob | None) -> bytes:
    """Return the text."""
    note = None
    if seen is not None:
        note = _Note(status=seen.status, task_id=seen.task_id, recoverable=seen.recoverable)
    return _NOTE.dump_json(note, by_alias=True)


def read_note(text: bytes | str) -> SeenJob | None:
    """Read the text.

    Raises:
        ValueError: it is none; pydantic names what is wrong.
    """
    note = _NOTE.validate_json(text)
    if note is None:
        return None
    return SeenJob(status=note.status, task_id=note.task_id, recoverable=note.recoverable)


@dataclass(frozen=True)
class Released:
    """What the record of a run says that has been closed and released."""

    name: str
    """`namespace/name` of the QueueRecovery."""
    bare_list: str
    """The queue's list of priority 0."""
    expires: int
    """When the quarantine ends, in seconds since the epoch."""


@dataclass(frozen=True)
class Record:
    """The fields of a run's hash; their number is bounded by the jobs that a recovery may list."""

    uid: str
    fields: Mapping[str, str]
    own: OwnKeys

    @property
    def sweep(self) -> int:
        """How many boundaries have been passed."""
        return int(self.fields.get("sweep", 0))

    @property
    def complete(self) -> int:
        """How many sweeps are complete: their boundary passed, and no entry of `unacked` found afterwards."""
        return int(self.fields.get("complete", 0))

    @property
    def pushed(self) -> frozenset[str]:
        """Keys of the jobs that were enqueued."""
        return frozenset(self._named(JOB_FIELD))

    @property
    def seen(self) -> frozenset[str]:
        """Keys of the jobs of which it was noted what they looked like when nothing ran."""
        return frozenset(self._named(SEEN_FIELD))

    @property
    def quarantined(self) -> Mapping[str, int]:
        """How many messages went to each list and hash of the quarantine, by what its key ends with."""
        return {ending: int(count) for ending, count in self._named(TAKEN_FIELD).items()}

    @property
    def unsorted(self) -> Mapping[str, int]:
        """How many messages are not sorted yet of each list whose kept ones are not back, by what its key ends with."""
        return {ending: int(count) for ending, count in self._named(UNSORTED_FIELD).items()}

    @property
    def kept(self) -> int:
        """How many messages stay; what an earlier sweep kept was in the queue again, and found by the last one."""
        return sum(int(count) for ending, count in self._named(KEPT_FIELD).items() if sweep_of(ending) == self.sweep)

    @property
    def oversized(self) -> int:
        """How many messages are too large to be read: entries of `unacked` that were taken, and any that stay."""
        stay = sum(int(n) for ending, n in self._named(LARGE_KEPT_FIELD).items() if sweep_of(ending) == self.sweep)
        return stay + sum(map(int, self._named(LARGE_FIELD).values()))

    @property
    def taken(self) -> Taken:
        """What has been moved into the quarantine."""
        unacked = sum(count for ending, count in self.quarantined.items() if ending.endswith(":unacked"))
        kept = self.kept_digests
        return Taken(
            quarantine=self.own.quarantine_name(recovery_uid(self.uid)),
            ready=sum(self.quarantined.values()) - unacked,
            unacked=unacked,
            undecodable=int(self.fields.get("undecodable", 0)),
            left=self.kept,
            oversized=self.oversized,
            left_ids=frozenset(name for name in Jobs.of(self.jobs.values()).ids if digest(name) in kept),
            seen=self.notes,
        )

    @property
    def kept_digests(self) -> frozenset[str]:
        """Digests of the listed jobs' task ids that have a message among the kept ones."""
        return frozenset(self._named(KEPT_ID_FIELD))

    @property
    def moved(self) -> int:
        """How many messages are where they belong by now: in the quarantine, or left in the queue."""
        return sum(self.quarantined.values()) + self.kept - sum(self.unsorted.values())

    @property
    def earlier(self) -> str | None:
        """UID of the run whose quarantine this one puts back."""
        return self.fields.get("from")

    @property
    def restored(self) -> Restored:
        """What became of the earlier run's quarantine."""
        return Restored(
            restored=sum(int(count) for count in self._named(KEPT_FIELD).values()),
            left=sum(self.quarantined.values()),
        )

    @property
    def enqueued_anew(self) -> frozenset[str]:
        """The former task ids of the jobs that were looked up and enqueued."""
        seen = self.jobs
        return frozenset(task_id for key in self.pushed if key in seen and (task_id := seen[key].task_id))

    @property
    def enqueued_unknown(self) -> int:
        """How many jobs were enqueued whose former task id is not known."""
        seen = self.jobs
        return sum(key not in seen or not seen[key].task_id for key in self.pushed)

    @property
    def notes(self) -> Mapping[str, SeenJob | None]:
        """What each job looked like when nothing ran, by its key; None: there was no document of it."""
        return {key: read_note(text) for key, text in self._named(SEEN_FIELD).items()}

    @property
    def jobs(self) -> Mapping[str, SeenJob]:
        """What each listed job that has a document looked like when nothing ran, by its key."""
        return {key: note for key, note in self.notes.items() if note is not None}

    @property
    def left(self) -> frozenset[str]:
        """Digests of the task ids whose messages are left, once the boundary has been passed."""
        return frozenset(self._named(LEFT_FIELD))

    @property
    def seen_as(self) -> dict[str, str]:
        """Keys of the jobs that were looked up, by the task ids that they had when nothing ran."""
        return {note.task_id: key for key, note in self.jobs.items() if note.task_id}

    @property
    def released(self) -> Released:
        """What the record says of a released run. Raises Rejected (`BrokerLostData`) if it says that of none."""
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
        """Return the fields that begin so, by the rest of their names."""
        return {f.removeprefix(prefix): value for f, value in self.fields.items() if f.startswith(prefix)}


async def read_record(client: Client, uid: str) -> Record | None:
    """Return the record of a run, or None if there is none.

    Raises:
        Rejected: `BrokerLostData`, if it is none that the operator has written.
    """
    key = client.own.run(uid)
    found = await client.record(key)
    if found is None:
        raise forged(key)
    if not found:
        return None
    fields = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in found.items()}
    if not all(_is_own(name, value) for name, value in fields.items()):
        raise forged(key)
    return Record(uid, fields, client.own)


def _is_own(name: str, value: str) -> bool:
    """Tell whether a field may be the operator's: those that are read as anything else than text have a form."""
    if name.startswith(SEEN_FIELD):
        return _is_note(value)
    if name in _NUMBERS:
        return _NUMBER.fullmatch(value) is not None
    counter = next((counter for counter in _COUNTERS if name.startswith(counter)), None)
    return counter is None or bool(_COUNTED.fullmatch(name.removeprefix(counter)) and _NUMBER.fullmatch(value))


def _is_note(text: str) -> bool:
    try:
        read_note(text)
    except ValueError:
        return False
    return True


async def read_open_record(client: Client, uid: str) -> Record:
    """Return the record of a run that may still act.

    Raises:
        Rejected: `BrokerLostData` if there is none, `AlreadyClosed` if it has been closed.
    """
    record = await read_record(client, uid)
    if record is None:
        raise lost_data()
    if record.fields.get("state") not in ("preparing", "purged"):
        raise already_closed()
    return record
