"""What must hold when the next recovery of the same queue and jobs is over.

The former one was removed by force, or has ended.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.chaos.observation import QUARANTINE, QUEUED, RUN, Observation
from tests.chaos.scenario import Listed, Scenario

_DONE: Final = {"done", "pending"}
"""Statuses of jobs that are not enqueued."""


def followed(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """Yield what does not hold: each message is kept once, each job was enqueued once, and no run is open."""
    uids = [scenario.former or "", scenario.uid]
    for name, text in scenario.queue.items():
        found = observed.places.get(name, [])
        expected = QUEUED if name.startswith("pending") else QUARANTINE
        if found != [expected]:
            yield f"message {name} should be in {expected}, and is in {found}"
        elif not name.startswith("poison") and observed.texts[name] != text:
            yield f"message {name} was changed"
    yield from newer(scenario, observed, uids)
    for job in scenario.listed:
        yield from _job(observed, job, uids)
    yield from _left(observed.former, observed)


def newer(scenario: Scenario, observed: Observation, uids: Sequence[str]) -> Iterator[str]:
    """Yield what does not hold of the messages that were produced meanwhile, and of those that nobody has sent."""
    for name in observed.produced:
        if observed.places.get(name) not in ([QUARANTINE], [RUN]):
            yield f"message {name}, produced meanwhile, is in {observed.places.get(name)}"
    strange = observed.places.keys() - scenario.queue.keys() - set(observed.produced)
    strange -= {job.task_id(uid) for job in scenario.listed for uid in uids}
    if strange:
        yield f"unknown messages: {sorted(strange)}"


def _job(observed: Observation, job: Listed, uids: list[str]) -> Iterator[str]:
    """A job with an id was enqueued by one of the two and ran once; one that is written out, by each at most once."""
    found = {uid: observed.places.get(job.task_id(uid), []) for uid in uids}
    document = observed.documents.get(job.label)
    if document is None or job.document is None:
        if any(places not in ([], [RUN]) for places in found.values()):
            yield f"job {job.label} is in {found}"
        return
    expected = [[]] if job.document["status"] in _DONE else [[RUN]]
    if [places for places in found.values() if places] != [places for places in expected if places]:
        yield f"job {job.label} should have run once if it was not done, and is in {found}"
    for uid, places in found.items():
        stamp = document.get("queueRecovery", {}).get(uid)
        if not places and stamp is not None and not stamp.get("released"):
            yield f"job {job.label} was not enqueued by {uid}, and its stamp is not released"
        if places and (document["status"], document["task_id"]) != ("pending", job.task_id(uid)):
            said = f"{document['status']} {document['task_id']}"
            yield f"job {job.label} was enqueued by {uid}, and its document says {said}"


def _left(record: Mapping[str, str], observed: Observation) -> Iterator[str]:
    if record and record["state"] != "closed":
        yield f"the run of the former one is {record['state']}"
    if record and "expires" not in record:
        yield "it is not recorded when the quarantine of the former one ends"
    if observed.run and "expires" not in observed.run:
        yield "it is not recorded when the quarantine of the next one ends"
