"""The stamp of a recovery on a job's document, and the conditional updates that write it. Pure.

When a recovery has finished, each document that it lists has one stamp, `queueRecovery.<uid of the recovery>`:

- claimed: `{was, became, at}`: the former status and task id, and those that the claim wrote;
- released: the same, or nothing, and `released: true`: this recovery has not enqueued the job and never will.

Stamps are a map and not an array, because servers that speak MongoDB's protocol without being MongoDB get conditions
on arrays wrong. For the same reason no update is a pipeline. Field names inside `was` and `became` are
the names of `JobFields`, not of the document, which may be dotted.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pymongo import UpdateOne

from queue_recovery.api.servers import JobFields
from queue_recovery.jobs.documents import ABSENT, Document, TypedId, field
from queue_recovery.recovery.ports import Claim

STAMPS: Final = "queueRecovery"
"""The one field that the operator adds to a document."""

Stamp = Mapping[str, object]


def stamp_path(run_uid: str) -> str:
    """Return the path of a recovery's stamp in a document."""
    return f"{STAMPS}.{run_uid}"


def stamp_of(document: Document, run_uid: str) -> Stamp | None:
    """Return the recovery's stamp on a document, if it has one."""
    stamp = field(document, stamp_path(run_uid))
    return stamp if isinstance(stamp, Mapping) else None


def is_claimed(stamp: Stamp | None) -> bool:
    """Tell whether the job is claimed and not released."""
    return stamp is not None and not stamp.get("released")


def was_claimed(stamp: Stamp) -> bool:
    """Tell whether the job was ever claimed, even if it has been released since."""
    return "was" in stamp


def is_claimed_as(stamp: Stamp | None, claim: Claim) -> bool:
    """Tell whether this claim, with its task id, was written and is not released."""
    return stamp is not None and is_claimed(stamp) and _part(stamp, "became").get("taskId") == claim.task_id


def needs_document(claim: Claim, fields: JobFields) -> bool:
    """Tell whether a claim has to read the document first.

    A field that was seen as None is null or absent, which only the document tells.
    """
    return None in _seen(claim, fields).values()


def claim_write(
    key: TypedId, claim: Claim, document: Document, fields: JobFields, *, pending: str, run_uid: str, now: datetime
) -> UpdateOne:
    """Make the update that claims a job.

    It matches if the job is still as it was seen, and has no stamp of this recovery.

    Args:
        key: the document's `_id`.
        claim: what was seen of the job, and its new task id.
        document: may be empty unless `needs_document`.
        fields: where the status and the task id are in the document.
        pending: the status of a claimed job.
        run_uid: of the recovery.
        now: the time of the claim.
    """
    seen = _seen(claim, fields)
    became = {"status": pending, "taskId": claim.task_id}
    was = {
        name: seen[name]
        for name, place in _written(fields)
        if seen[name] is not None or field(document, place) is not ABSENT
    }
    # In a condition null also means absent.
    conditions = {place: seen[name] for name, place in _written(fields)}
    values = {place: became[name] for name, place in _written(fields)}
    stamp = {"was": was, "became": became, "at": now}
    return UpdateOne(
        {"_id": key, **conditions, stamp_path(run_uid): {"$exists": False}},
        {"$set": {**values, stamp_path(run_uid): stamp}},
    )


def fence_write(key: TypedId, *, run_uid: str, now: datetime) -> UpdateOne:
    """Make the update that stamps a job which was never claimed.

    A late claim of it fails then.
    """
    return UpdateOne(
        {"_id": key, stamp_path(run_uid): {"$exists": False}},
        {"$set": {stamp_path(run_uid): {"released": True, "at": now}}},
    )


def revert_write(key: TypedId, stamp: Stamp, fields: JobFields, *, run_uid: str, now: datetime) -> UpdateOne:
    """Make the update that releases a claimed job and reverts its status and task id.

    It does not match a job that another client has changed since it was claimed.
    """
    was, became = _part(stamp, "was"), _part(stamp, "became")
    unchanged = {place: became.get(name) for name, place in _written(fields)}
    values = {place: was[name] for name, place in _written(fields) if name in was}
    absent = {place: "" for name, place in _written(fields) if name not in was}
    update: dict[str, dict[str, object]] = {"$set": {**values, stamp_path(run_uid): _released(stamp, now)}}
    if absent:
        update["$unset"] = dict(absent)
    return UpdateOne({"_id": key, **unchanged, **_unreleased(run_uid)}, update)


def release_write(key: TypedId, stamp: Stamp, *, run_uid: str, now: datetime) -> UpdateOne:
    """Make the update that releases a claimed job which another client has changed."""
    return UpdateOne({"_id": key, **_unreleased(run_uid)}, {"$set": {stamp_path(run_uid): _released(stamp, now)}})


def _seen(claim: Claim, fields: JobFields) -> dict[str, str | None]:
    values = {"status": claim.seen_status, "taskId": claim.seen_task_id}
    return {name: values[name] for name, _ in _written(fields)}


def _written(fields: JobFields) -> list[tuple[str, str]]:
    """Return the fields that a claim writes: names in a stamp, paths in a document."""
    return [("status", fields.status), *([("taskId", fields.task_id)] if fields.task_id else [])]


def _unreleased(run_uid: str) -> dict[str, object]:
    return {f"{stamp_path(run_uid)}.was": {"$exists": True}, f"{stamp_path(run_uid)}.released": {"$exists": False}}


def _released(stamp: Stamp, now: datetime) -> dict[str, object]:
    return {**stamp, "released": True, "at": now}


def _part(stamp: Stamp, name: str) -> Mapping[str, object]:
    part = stamp.get(name)
    return part if isinstance(part, Mapping) else {}
