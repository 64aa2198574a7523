"""What must hold of the world when a recovery is over, however its operator fared.

`violations` says in words what does not hold. Some of it may yet come about (a worker is still starting), nothing of
it may be allowed to pass.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO
from queue_recovery.workers.patches import FENCE
from tests.chaos.effects import PRODUCED
from tests.chaos.removed_check import removed
from tests.chaos.restored_check import restored
from tests.chaos.scenario import REPLICAS, SEP, Listed, Stage
from tests.chaos.world import OPERATOR, PLACE, QUARANTINE, RUN, World

_DONE: Final = 3
"""Which of the listed jobs may not be enqueued."""

_PENDING: Final = 5
"""From which one on they may not because they are pending, if there are so many."""


def violations(stage: Stage, world: World) -> list[str]:
    """Return what does not hold."""
    own = removed(stage, world) if stage.removed else _recovered(stage, world)
    if stage.earlier:
        own = restored(stage, world)
    return [
        *own,
        *_others(stage, world),
        *_workers(world),
        *_own_keys(stage, world),
    ]


def _recovered(stage: Stage, world: World) -> Iterator[str]:
    yield from _messages(stage, world)
    for job in stage.listed:
        yield from _job(stage, world, job)
    yield from _figures(stage, world)


def _messages(stage: Stage, world: World) -> Iterator[str]:
    """Each message is in one place; after the boundary none of the old ones is in place any more."""
    purged = "attempt" in world.run
    dropped = purged and stage.watched.status.get("phase") == "Succeeded" and _retention(stage) == 0
    for name, text in stage.queue.items():
        expected = [] if dropped else [QUARANTINE] if purged else [PLACE]
        if name.startswith("pending"):
            expected = [PLACE]
        found = world.places.get(name, [])
        if stage.real_workers:
            # Celery writes down each attempt of a poisoned task.
            found = [place for place in found if place != RUN]
        if found != expected:
            yield f"message {name} should be in {expected}, and is in {found} (purged: {purged})"
        elif found and not name.startswith("poison") and world.texts[name] != text:
            yield f"message {name} was changed"
    for name in world.produced:
        found = world.places.get(name, [])
        if found not in ([QUARANTINE], [RUN]) and not (dropped and not found):
            yield f"message {name}, produced meanwhile, is in {found}"
    strange = world.places.keys() - stage.queue.keys() - set(world.produced)
    strange -= {job.task_id(stage.uid) for job in stage.listed}
    if strange:
        yield f"messages that nobody sent: {sorted(strange)}"


def _job(stage: Stage, world: World, job: Listed) -> Iterator[str]:
    """A job ran once, or is named as skipped and looks as before; it does not wait for what never comes."""
    task = job.task_id(stage.uid)
    found = world.places.get(task, [])
    document = world.documents.get(job.label)
    status = stage.watched.status
    skipped = {row["id"]: row["reason"] for row in status.get("skipped", [])}
    if document and document.get("task_id") == task and found != [RUN]:
        yield f"job {job.label} is {document['status']} as task {task}, whose message is in {found}"
    marked = f"job:{job.key}" in world.run
    if found != ([RUN] if marked else []):
        yield f"job {job.label} has {'a' if marked else 'no'} marker, and its task is in {found}"
    if found:
        if job.label in skipped:
            yield f"job {job.label} is named as skipped ({skipped[job.label]}), and was enqueued"
        if document and (document["status"], document["task_id"]) != ("pending", task):
            yield f"job {job.label} was enqueued, and its document says {document['status']} {document['task_id']}"
        return
    if stage.watched.ended and "drainStartTime" in status and "completionTime" in status and job.label not in skipped:
        yield f"job {job.label} was not enqueued, and is not named as skipped"
    if document and job.document:
        before = {key: value for key, value in document.items() if key != "queueRecovery"}
        if before != job.document:
            yield f"job {job.label} was not enqueued, and its document has changed: {before}"
        stamp = document.get("queueRecovery", {}).get(stage.uid)
        if stamp is not None and not stamp.get("released"):
            yield f"job {job.label} was not enqueued, and its stamp is not released"


def _figures(stage: Stage, world: World) -> Iterator[str]:
    """The status tells what is so."""
    status = stage.watched.status
    if "completionTime" not in status or "drainStartTime" not in status:
        return
    marked = sum(f"job:{job.key}" in world.run for job in stage.listed)
    jobs = {"total": len(stage.listed), "enqueued": marked, "skipped": len(stage.listed) - marked}
    if {key: status["jobs"].get(key, 0) for key in jobs} != jobs:
        yield f"status.jobs is {status['jobs']}, and should be {jobs}"
    if status["phase"] == "Succeeded":
        rows = [(row["id"], row["reason"]) for row in status.get("skipped", [])]
        skipped = [stage.listed[_DONE], *stage.listed[_PENDING:]]
        if rows != [(job.label, "NotRecoverable") for job in skipped]:
            yield f"of the jobs only {skipped}, which are done or pending, should be skipped, and not {rows}"
    kept = sum(places.count(QUARANTINE) for places in world.places.values())
    if _retention(stage) and status.get("messages", {}).get("quarantined", 0) != kept:
        yield f"status.messages is {status.get('messages')}, and {kept} lie in the quarantine"
    if _retention(stage) and status.get("quarantine", {}).get("messages", 0) != kept:
        yield f"status.quarantine is {status.get('quarantine')}, and {kept} lie in it"


def _others(stage: Stage, world: World) -> Iterator[str]:
    """What is nobody's business is as before, byte for byte."""
    for key, before in stage.others.items():
        if world.others[key] != before:
            yield f"key {key!r} has changed"
    for tag in ("mail-held-1", "mail-held-2", "unreadable"):
        text, time = world.entries.get(tag, (None, None))
        if text != stage.foreign[tag] or time != stage.delivered:
            yield f"entry {tag} of unacked has changed"
    known = {"work", "unacked", "unacked_index", PRODUCED, *stage.others}
    new = {
        key for key in world.keys if key not in known and not key.startswith(("ran:", f"work{SEP}", OPERATOR, "_kombu"))
    }
    if new:
        yield f"keys that were not there before: {sorted(new)}"


def _workers(world: World) -> Iterator[str]:
    """The Deployment has its replicas again, all of them up, and bears no trace."""
    spec, status, metadata = (world.deployment[part] for part in ("spec", "status", "metadata"))
    if (spec["replicas"], status.get("availableReplicas", 0), status.get("replicas", 0)) != (REPLICAS,) * 3:
        yield f"the Deployment has {spec['replicas']} replicas, {status.get('availableReplicas', 0)} of them available"
    if {HELD_BY, HELD_BY_UID, SCALE_BACK_TO} & metadata.get("labels", {}).keys():
        yield "the Deployment still bears the note"
    if FENCE in metadata.get("labels", {}):
        yield "the Deployment still bears the fence"
    if any(entry["manager"] == "queue-recovery" for entry in metadata["managedFields"]):
        yield "the operator still owns fields of the Deployment"


def _own_keys(stage: Stage, world: World) -> Iterator[str]:
    """The lock is free, the run closed, and retention can find what is in the quarantine."""
    own = {key.removeprefix(OPERATOR) for key in world.keys.keys() - stage.others.keys() if key.startswith(OPERATOR)}
    if locks := {key for key in own if key.startswith("lock:")}:
        yield f"locks are held: {locks}"
    if world.run and world.run["state"] != "closed":
        yield f"the run is {world.run['state']}"
    findable = _keys_of(stage.source, world.source)
    if stage.removed:
        findable |= _keys_of(stage.removed_run, world.removed)
    findable |= {f"{key}_index" for key in findable}
    lost = {key for key in own if key.startswith("quarantine:")} - findable
    if lost:
        yield f"retention will not find {sorted(lost)}"
    if strange := {key for key in own if not key.startswith(("quarantine:", "run:", "runs:", "lock:"))}:
        yield f"keys of the operator's that nobody knows: {sorted(strange)}"


def _keys_of(run: str, record: Mapping[str, str]) -> set[str]:
    """Return the quarantine's keys that a run's record knows of, but for the operator's prefix."""
    return {f"quarantine:{run}:{name.removeprefix('taken:')}" for name in record if name.startswith("taken:")}


def _retention(stage: Stage) -> int:
    seconds: int = stage.watched.body["spec"]["purge"]["retentionSeconds"]
    return seconds
