"""What must hold after a recovery that takes no message.

It gives back what killed workers have left in `unacked`, or restarts the workers, or both.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from tests.chaos.job_invariants import ran_once
from tests.chaos.observation import QUEUED, RUN, Observation
from tests.chaos.scenario import RECENT, STRANDED, STRANDED_ELSEWHERE, Scenario, message_in

_REVISION: Final = "deployment.kubernetes.io/revision"


def unpurged(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """Yield what does not hold: what nobody held has moved once, or not at all, and nothing else has."""
    yield from _messages(scenario, observed)
    if scenario.redelivers:
        yield from _stranded(scenario, observed)
        yield from _figures(scenario, observed)
        yield from _documents(scenario, observed)
    elif not scenario.former:
        for job in scenario.listed:
            yield from ran_once(scenario, observed, job)
    if scenario.restarts:
        yield from _restarts(scenario, observed)
    if scenario.former and observed.former.get("state", "closed") != "closed":
        yield f"the run of the former one is {observed.former['state']}"


def _messages(scenario: Scenario, observed: Observation) -> Iterator[str]:
    moved = {*STRANDED, STRANDED_ELSEWHERE, RECENT} if scenario.redelivers else set[str]()
    for name in scenario.queue.keys() - moved:
        if observed.places.get(name) != [QUEUED]:
            yield f"message {name} should be in the queue, and is in {observed.places.get(name)}"
        elif not name.startswith("poison") and observed.texts[name] != scenario.queue[name]:
            yield f"message {name} was changed"
    for name in observed.produced:
        if observed.places.get(name) != [RUN]:
            yield f"message {name}, produced meanwhile, is in {observed.places.get(name)}"
    strange = observed.places.keys() - scenario.queue.keys() - set(observed.produced)
    strange -= {job.task_id(uid) for job in scenario.listed for uid in (scenario.uid, scenario.former) if uid}
    if strange:
        yield f"unknown messages: {sorted(strange)}"


def _stranded(scenario: Scenario, observed: Observation) -> Iterator[str]:
    succeeded = scenario.watched.status.get("phase") == "Succeeded"
    for name in STRANDED:
        found = observed.places.get(name)
        if found != [RUN] and (found != [QUEUED] or succeeded):
            yield f"message {name}, which nobody held, is in {found}"
    yield from _recent(scenario, observed)
    name = STRANDED_ELSEWHERE
    if name not in scenario.queue:
        return
    found, given = observed.places.get(name), name not in observed.entries
    if found != [QUEUED] or (succeeded and not given):
        yield f"message {name}, which nobody held, is in {found}, {'given back' if given else 'in unacked'}"
    elif observed.texts[name] != (message_in(scenario.queue[name]) if given else scenario.queue[name]):
        yield f"message {name} was changed"


def _recent(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """What a worker could hold is where it was, unless there are new workers."""
    found = observed.places.get(RECENT)
    if found == [RUN] and (scenario.restarts or scenario.replaced):
        return
    if found != [QUEUED] or observed.entries.get(RECENT, (None,))[0] != scenario.queue[RECENT]:
        yield f"message {RECENT}, which a worker could hold, is in {found}"


def _figures(scenario: Scenario, observed: Observation) -> Iterator[str]:
    given = sum(observed.places.get(name) == [RUN] for name in (*STRANDED, RECENT))
    given += STRANDED_ELSEWHERE in scenario.queue.keys() - observed.entries.keys()
    own, before = _given(observed.run), _given(observed.former)
    if own + before != given:
        yield f"the runs say that {before} and {own} messages were given back, and it is {given}"
    status = scenario.watched.status
    if "completionTime" in status and "drainStartTime" in status:
        said = status.get("redelivered", {}).get("redelivered", 0)
        if said != own:
            yield f"status.redelivered says {said}, and it is {own}"


def _given(record: Mapping[str, str]) -> int:
    return int(record.get("redelivered", 0))


def _restarts(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """Each recovery has restarted the pods at most once, and one that has succeeded has, unless they are new anyway."""
    restarts = int(observed.deployment["metadata"]["annotations"][_REVISION]) - 1
    least = int(scenario.watched.status.get("phase") == "Succeeded" and not scenario.replaced)
    if not least <= restarts <= 1 + bool(scenario.former):
        yield f"the workers were restarted {restarts} times"


def _documents(scenario: Scenario, observed: Observation) -> Iterator[str]:
    for job in scenario.listed:
        if job.document and observed.documents[job.label] != job.document:
            yield f"job {job.label} is not listed, and its document has changed"
