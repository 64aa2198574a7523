"""Which changes of a target are told as events, once each, and not too often."""

from collections.abc import Mapping

import pytest

from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.target_events import Announcer, target_events_between

NEW = QueueTargetStatus()
HEALTHY = {
    "BrokerReachable": ("True", "Reachable"),
    "JobStoreReachable": ("Unknown", "NotConfigured"),
    "WorkersFound": ("True", "WorkersFound"),
    "Permitted": ("True", "Permitted"),
    "EvictionSafe": ("True", "NoEviction"),
    "Ready": ("True", "Usable"),
}
NO_BROKER = {
    "BrokerReachable": ("False", "BrokerUnavailable"),
    "EvictionSafe": ("Unknown", "NotChecked"),
    "Ready": ("False", "BrokerUnavailable"),
}
NO_SECRET = {**NO_BROKER, "BrokerReachable": ("False", "SecretNotFound"), "Ready": ("False", "SecretNotFound")}
EVICTS = {"EvictionSafe": ("False", "EvictionPossible")}


def status(changed: Mapping[str, tuple[str, str]] | None = None, *, message: str = "said") -> QueueTargetStatus:
    """Return a status like a healthy target's, but for some conditions."""
    rest = {"message": message, "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    conditions = [
        {"type": kind, "status": verdict, "reason": reason, **rest}
        for kind, (verdict, reason) in {**HEALTHY, **(changed or {})}.items()
    ]
    return QueueTargetStatus.model_validate({"conditions": conditions})


def event(kind: str, reason: str, note: str) -> Event:
    return Event(type="Warning" if kind == "Warning" else "Normal", reason=reason, note=note)


USABLE = event("Normal", "Usable", "Ready: said")


@pytest.mark.parametrize(
    ("case", "before", "after", "expected"),
    [
        ("a new target that is ready is told in one event", NEW, status(), [USABLE]),
        (
            "a new target whose broker is away is told by its cause alone",
            NEW,
            status(NO_BROKER),
            [event("Warning", "BrokerUnavailable", "BrokerReachable: said")],
        ),
        (
            "a warning does not keep a new target from being ready",
            NEW,
            status(EVICTS),
            [event("Warning", "EvictionPossible", "EvictionSafe: said"), USABLE],
        ),
        (
            "a broker that goes away is one event",
            status(),
            status(NO_BROKER),
            [event("Warning", "BrokerUnavailable", "BrokerReachable: said")],
        ),
        (
            "a broker that comes back, and with it the target",
            status(NO_BROKER),
            status(),
            [event("Normal", "Reachable", "BrokerReachable: said"), USABLE],
        ),
        (
            "another reason",
            status(NO_SECRET),
            status(NO_BROKER),
            [event("Warning", "BrokerUnavailable", "BrokerReachable: said")],
        ),
        ("another message of the same reason is no change", status(NO_BROKER), status(NO_BROKER, message="new"), []),
        ("nothing", status(), status(), []),
    ],
)
def test_a_change_is_told_by_the_condition_that_caused_it(
    case: str, before: QueueTargetStatus, after: QueueTargetStatus, expected: list[Event]
) -> None:
    assert list(target_events_between(before, after)) == expected, case


class Case:
    """An announcer with a clock that is set by hand, and the reasons of the events that it has announced."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[str] = []
        self.announcer = Announcer(lambda _namespace, _name, _uid, event: self.told.append(event.reason), self._clock)

    def stored(self, before: QueueTargetStatus, after: QueueTargetStatus, *, uid: str = "1") -> None:
        self.announcer.stored("media", "tts", uid, before, after)

    def _clock(self) -> float:
        return self.now


def test_a_change_is_told_once_also_when_the_watch_has_not_shown_the_last_write_yet() -> None:
    case = Case()
    case.stored(status(), status(NO_BROKER))
    case.now += 60
    case.stored(status(), status(NO_BROKER))

    assert case.told == ["BrokerUnavailable"]


def test_changes_that_follow_each_other_closely_are_told_together_by_a_later_look() -> None:
    case = Case()
    case.stored(NEW, status())
    for _ in range(5):
        case.now += 1
        case.stored(status(), status(NO_SECRET))
        case.stored(status(NO_SECRET), status(NO_BROKER))
    assert case.told == ["Usable"]

    case.now += 5
    case.stored(status(NO_BROKER), status(NO_BROKER))

    assert case.told == ["Usable", "BrokerUnavailable"]


CAUSE = {"reason": "DeafWorkers", "since": "2026-01-01T00:00:00Z", "message": ""}


@pytest.mark.parametrize(("later", "told"), [("DeafWorkers", []), ("NotStuck", ["NotStuck"])])
def test_a_broker_that_was_away_for_a_moment_makes_nothing_news_that_was_told_before(
    later: str, told: list[str]
) -> None:
    deaf = status({**EVICTS, "Stuck": ("True", "DeafWorkers")}).model_dump(by_alias=True)
    deaf["queues"] = [{"name": "tts", "ready": 1, "stuck": [CAUSE]}]
    known = {
        "DeafWorkers": QueueTargetStatus.model_validate(deaf),
        "NotStuck": status({**EVICTS, "Stuck": ("False", "NotStuck")}),
    }
    away = status({**NO_BROKER, "Stuck": ("Unknown", "NotChecked")})
    case = Case()
    for before, after in [(NEW, known["DeafWorkers"]), (known["DeafWorkers"], away), (away, known[later])]:
        case.stored(before, after)
        case.now += 30

    assert case.told == ["EvictionPossible", "Usable", "DeafWorkers", "BrokerUnavailable", "Reachable", "Usable", *told]


def test_a_look_that_finds_nothing_new_delays_no_event() -> None:
    case = Case()
    case.stored(NEW, status())
    case.now += 30
    case.stored(status(), status())
    case.stored(status(), status(NO_BROKER))

    assert case.told == ["Usable", "BrokerUnavailable"]


def test_a_target_that_is_created_again_is_told_of_at_once() -> None:
    case = Case()
    case.stored(NEW, status())
    case.stored(NEW, status(), uid="2")
    case.announcer.forget("media", "tts")
    case.stored(NEW, status(), uid="2")

    assert case.told == ["Usable"] * 3


def test_another_process_tells_nothing_that_the_last_one_has_told() -> None:
    case = Case()
    case.stored(status(NO_BROKER), status(NO_BROKER))

    assert case.told == []
