"""What must hold of the messages and the figures when a recovery that restores is over."""

from collections.abc import Iterator

from tests.chaos.observation import QUARANTINE, QUEUED, RUN, Observation
from tests.chaos.scenario import CHOSEN, Scenario


def restored(scenario: Scenario, observed: Observation) -> Iterator[str]:
    """Yield what does not hold: each message is in one place, and of the chosen ones all went back if it succeeded."""
    went = [name for name in CHOSEN if observed.places.get(name) in ([QUEUED], [RUN])]
    for name, text in scenario.queue.items():
        found = observed.places.get(name, [])
        if name not in went and found != [QUARANTINE]:
            yield f"message {name} should be in the quarantine, and is in {found}"
        elif name.startswith("low") and observed.texts[name] != text:
            yield f"message {name} was changed"
    for name in observed.produced:
        if observed.places.get(name) not in ([QUARANTINE], [RUN]):
            yield f"message {name}, produced meanwhile, is in {observed.places.get(name)}"
    if strange := observed.places.keys() - scenario.queue.keys() - set(observed.produced):
        yield f"unknown messages: {sorted(strange)}"
    if scenario.watched.ended and not scenario.watched.gone:
        yield from _figures(scenario, observed, len(went))


def _figures(scenario: Scenario, observed: Observation, went: int) -> Iterator[str]:
    status = scenario.watched.status
    left = sum(places.count(QUARANTINE) for places in observed.places.values())
    if status["phase"] == "Succeeded" and went != len(CHOSEN):
        yield f"it succeeded, and only {went} messages went back"
    told = status.get("restored", {"found": left, "left": left})
    counts = {"found": went + left, "restored": went, "left": left}
    if {key: told.get(key, 0) for key in counts} != counts:
        yield f"status.restored is {told}, and should be {counts}"
    if "restored" in status and status["quarantine"]["messages"] != left:
        yield f"status.quarantine is {status['quarantine']}, and {left} are in it"
