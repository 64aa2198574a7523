"""What must hold when a recovery is over, no matter what happened to its operator.

`violations` says in words what does not hold. Some of it may yet come about (a worker is still starting), nothing of
it may be allowed to pass.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO
from queue_recovery.workers.patches import FENCE
from tests.chaos.effects import PRODUCED
from tests.chaos.followed_invariants import followed
from tests.chaos.forged_invariants import forged
from tests.chaos.job_invariants import ran_once
from tests.chaos.observation import OPERATOR, QUARANTINE, QUEUED, RUN, Observation
from tests.chaos.restored_invariants import restored
from tests.chaos.scenario import REPLICAS, SEP, Scenario
from tests.chaos.unpurged_invariants import unpurged

_DONE: Final = 3
"""Which of the listed jobs may not be enqueued."""

_PENDING: Final = 5
"""From which one on they may not because they are pending, if there are so many."""


def violations(scenario: Scenario, observed: Observation) -> list[str]:
    """Return what does not hold."""
    return [
        *_own(scenario, observed),
        *_others(scenario, observed),
        *_workers(observed),
        *_keda(observed),
        *_own_keys(scenario, observed),
    ]


def _own(scenario: Scenario, observed: Observation) -> Iterator[str]:
    if scenario.earlier:
        return restored(scenario, observed)
    if scenario.restarts or scenario.redelivers:
        return unpurged(scenario, observed)
    if scenario.forged:
        return forged(scenario, observed)
    return followed(scenario, observed) if scenario.former else _recovered(scenario, observed)


def _recovered(scenario: Scenario, observed: Observation) -> Iterator[str]:
    yield from _messages(scenario, observed)
    for job in scenario.listed:
        yield from ran_once(scenario, observed, job)
    yield from _figures(scenario, observed)


def _messages(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """Each message is in one place; after the boundary none of the old ones is in the queue any more."""
    purged = "attempt" in observed.run
    dropped = purged and scenario.watched.status.get("phase") == "Succeeded" and _retention(scenario) == 0
    for name, text in scenario.queue.items():
        expected = [] if dropped else [QUARANTINE] if purged else [QUEUED]
        if name.startswith("pending"):
            expected = [QUEUED]
        if name in scenario.lost:
            expected = []
        found = observed.places.get(name, [])
        if scenario.real_workers:
            # Celery records each attempt of a poisoned task.
            found = [where for where in found if where != RUN]
        if found != expected:
            yield f"message {name} should be in {expected}, and is in {found} (purged: {purged})"
        elif found and not name.startswith("poison") and observed.texts[name] != text:
            yield f"message {name} was changed"
    for name in observed.produced:
        found = observed.places.get(name, [])
        if found not in ([QUARANTINE], [RUN]) and not ((dropped or name in scenario.lost) and not found):
            yield f"message {name}, produced meanwhile, is in {found}"
    strange = observed.places.keys() - scenario.queue.keys() - set(observed.produced)
    strange -= {job.task_id(scenario.uid) for job in scenario.listed}
    if strange:
        yield f"unknown messages: {sorted(strange)}"


def _figures(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """The status is right."""
    status = scenario.watched.status
    if "completionTime" not in status or "drainStartTime" not in status:
        return
    marked = sum(f"job:{job.key}" in observed.run for job in scenario.listed)
    jobs = {"total": len(scenario.listed), "enqueued": marked, "skipped": len(scenario.listed) - marked}
    if {key: status["jobs"].get(key, 0) for key in jobs} != jobs:
        yield f"status.jobs is {status['jobs']}, and should be {jobs}"
    if status["phase"] == "Succeeded":
        rows = [(row["id"], row["reason"]) for row in status.get("skipped", [])]
        skipped = [scenario.listed[_DONE], *scenario.listed[_PENDING:]]
        if rows != [(job.label, "NotRecoverable") for job in skipped]:
            yield f"of the jobs only {skipped}, which are done or pending, should be skipped, and not {rows}"
    kept = sum(places.count(QUARANTINE) for places in observed.places.values())
    if _retention(scenario) and status.get("messages", {}).get("quarantined", 0) != kept:
        yield f"status.messages is {status.get('messages')}, and {kept} are in the quarantine"
    if _retention(scenario) and status.get("quarantine", {}).get("messages", 0) != kept:
        yield f"status.quarantine is {status.get('quarantine')}, and {kept} are in it"


def _others(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """What does not belong to the recovery is as before, byte for byte."""
    for key, before in scenario.others.items():
        if observed.others[key] != before:
            yield f"key {key!r} has changed"
    for tag in ("mail-held-1", "mail-held-2", "unreadable"):
        text, time = observed.entries.get(tag, (None, None))
        if text != scenario.foreign[tag] or time != scenario.delivered:
            yield f"entry {tag} of unacked has changed"
    known = {"work", "unacked", "unacked_index", PRODUCED, *scenario.others}
    new = {
        key
        for key in observed.keys
        if key not in known and not key.startswith(("ran:", f"work{SEP}", OPERATOR, "_kombu"))
    }
    if new:
        yield f"keys that were not there before: {sorted(new)}"


def _workers(observed: Observation) -> Iterator[str]:
    """The Deployment has its replicas again, all of them up, and no trace of the recovery."""
    spec, status, metadata = (observed.deployment[part] for part in ("spec", "status", "metadata"))
    if (spec["replicas"], status.get("availableReplicas", 0), status.get("replicas", 0)) != (REPLICAS,) * 3:
        yield f"the Deployment has {spec['replicas']} replicas, {status.get('availableReplicas', 0)} of them available"
    if {HELD_BY, HELD_BY_UID, SCALE_BACK_TO} & metadata.get("labels", {}).keys():
        yield "the Deployment still has the note"
    if FENCE in metadata.get("labels", {}):
        yield "the Deployment still has the fence"
    if any(entry["manager"] == "queue-recovery" for entry in metadata["managedFields"]):
        yield "the operator still owns fields of the Deployment"


def _keda(observed: Observation) -> Iterator[str]:
    """KEDA scales the workers as before, and nothing on its resource is the recovery's."""
    if not observed.scaled_object:
        return
    metadata = observed.scaled_object["metadata"]
    for kind in ("annotations", "labels"):
        if metadata.get(kind):
            yield f"the ScaledObject still has the {kind} {metadata[kind]}"
    if any(entry["manager"] == "queue-recovery" for entry in metadata["managedFields"]):
        yield "the operator still owns fields of the ScaledObject"


def _own_keys(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """The lock is free, the run closed, and retention can find what is in the quarantine."""
    own = {
        key.removeprefix(OPERATOR) for key in observed.keys.keys() - scenario.others.keys() if key.startswith(OPERATOR)
    }
    if locks := {key for key in own if key.startswith("lock:")}:
        yield f"locks are held: {locks}"
    if observed.run and observed.run["state"] != "closed":
        yield f"the run is {observed.run['state']}"
    findable = _keys_of(scenario.source, observed.source)
    if scenario.former:
        findable |= _keys_of(scenario.former_run, observed.former)
    findable |= {f"{key}_index" for key in findable}
    lost = {key for key in own if key.startswith("quarantine:")} - findable
    if scenario.forged:  # retention believes a record, or has none
        lost = {key for key in lost if not key.startswith(f"quarantine:{scenario.former_run}:")}
    if lost:
        yield f"retention will not find {sorted(lost)}"
    if strange := {key for key in own if not key.startswith(("quarantine:", "run:", "runs:", "lock:"))}:
        yield f"unknown keys of the operator: {sorted(strange)}"


def _keys_of(run: str, record: Mapping[str, str]) -> set[str]:
    """Return the quarantine's keys that a run's record knows of, but for the operator's prefix."""
    return {f"quarantine:{run}:{name.removeprefix('taken:')}" for name in record if name.startswith("taken:")}


def _retention(scenario: Scenario) -> int:
    seconds: int = scenario.watched.body["spec"]["purge"]["retentionSeconds"]
    return seconds
