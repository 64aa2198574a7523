"""What holds although another client has added fields to a recovery's record, when the next one of its queue is over.

The figures of a recovery whose record is forged say what the record says: a job with a forged marker counts as
enqueued, and gets no message. What is left: no message is lost, and no job is enqueued twice. A client that removes
markers can break that too.
"""

from collections.abc import Iterator

from tests.chaos.followed_invariants import newer
from tests.chaos.observation import QUARANTINE, RUN, Observation
from tests.chaos.scenario import Scenario


def forged(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """Yield what does not hold."""
    for name, text in scenario.queue.items():
        found = observed.places.get(name, [])
        if found != [QUARANTINE]:
            yield f"message {name} should be in the quarantine, and is in {found}"
        elif not name.startswith("poison") and observed.texts[name] != text:
            yield f"message {name} was changed"
    uids = [scenario.former or "", scenario.uid]
    yield from newer(scenario, observed, uids)
    for job in scenario.listed:
        found_by = {uid: places for uid in uids if (places := observed.places.get(job.task_id(uid), []))}
        if any(places != [RUN] for places in found_by.values()) or (job.document and len(found_by) > 1):
            yield f"job {job.label} should have run once at most, and is in {found_by}"
