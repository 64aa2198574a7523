"""What must hold of the messages and of the books when a recovery that restores is over."""

from collections.abc import Iterator

from tests.chaos.scenario import CHOSEN, Stage
from tests.chaos.world import PLACE, QUARANTINE, RUN, World


def restored(stage: Stage, world: World) -> Iterator[str]:
    """Yield what does not hold: each message is in one place, and of the chosen ones all went back if it succeeded."""
    went = [name for name in CHOSEN if world.places.get(name) in ([PLACE], [RUN])]
    for name, text in stage.queue.items():
        found = world.places.get(name, [])
        if name not in went and found != [QUARANTINE]:
            yield f"message {name} should be in the quarantine, and is in {found}"
        elif name.startswith("low") and world.texts[name] != text:
            yield f"message {name} was changed"
    for name in world.produced:
        if world.places.get(name) not in ([QUARANTINE], [RUN]):
            yield f"message {name}, produced meanwhile, is in {world.places.get(name)}"
    if strange := world.places.keys() - stage.queue.keys() - set(world.produced):
        yield f"messages that nobody sent: {sorted(strange)}"
    if stage.watched.ended and not stage.watched.gone:
        yield from _figures(stage, world, len(went))


def _figures(stage: Stage, world: World, went: int) -> Iterator[str]:
    status = stage.watched.status
    left = sum(places.count(QUARANTINE) for places in world.places.values())
    if status["phase"] == "Succeeded" and went != len(CHOSEN):
        yield f"it succeeded, and only {went} messages went back"
    told = status.get("restored", {"found": left, "left": left})
    counts = {"found": went + left, "restored": went, "left": left}
    if {key: told.get(key, 0) for key in counts} != counts:
        yield f"status.restored is {told}, and should be {counts}"
    if "restored" in status and status["quarantine"]["messages"] != left:
        yield f"status.quarantine is {status['quarantine']}, and {left} lie in it"
