"""What must hold after a recovery that gives back what killed workers have left in `unacked`."""

from collections.abc import Iterator

from tests.chaos.observation import QUEUED, RUN, Observation
from tests.chaos.scenario import STRANDED, Scenario


def redelivered(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """Yield what does not hold: each message that nobody held has run once, or is where it was; nothing else moved."""
    yield from _stranded(scenario, observed)
    yield from _others(scenario, observed)
    yield from _figures(scenario, observed)


def _stranded(scenario: Scenario, observed: Observation) -> Iterator[str]:
    succeeded = scenario.watched.status.get("phase") == "Succeeded"
    for name in STRANDED:
        found = observed.places.get(name)
        if found != [RUN] and (found != [QUEUED] or succeeded):
            yield f"message {name}, which nobody held, is in {found}"


def _others(scenario: Scenario, observed: Observation) -> Iterator[str]:
    for name in scenario.queue.keys() - set(STRANDED):
        if observed.places.get(name) != [QUEUED]:
            yield f"message {name} should be in the queue, and is in {observed.places.get(name)}"
        elif not name.startswith("poison") and observed.texts[name] != scenario.queue[name]:
            yield f"message {name} was changed"
    for name in observed.produced:
        if observed.places.get(name) != [RUN]:
            yield f"message {name}, produced meanwhile, is in {observed.places.get(name)}"
    for job in scenario.listed:
        if job.document and observed.documents[job.label] != job.document:
            yield f"job {job.label} is not listed, and its document has changed"


def _figures(scenario: Scenario, observed: Observation) -> Iterator[str]:
    given = sum(observed.places.get(name) == [RUN] for name in STRANDED)
    if int(observed.run.get("redelivered", 0)) != given:
        yield f"the run says that {observed.run.get('redelivered')} messages were given back, and {given} have run"
    status = scenario.watched.status
    if "completionTime" in status and "drainStartTime" in status:
        said = status.get("redelivered", {}).get("redelivered", 0)
        if said != given:
            yield f"status.redelivered says {said}, and {given} have run"
