"""When the operator calls itself ready, and what it reports of watches that are not up."""

import logging
from dataclasses import dataclass, field

import pytest

from queue_recovery.controller.api_server import GRACE
from queue_recovery.controller.watches import NOT_GRANTED, NOT_SERVED, Failure, Watched, Watches, failed

RECOVERIES, TARGETS = Watched("queuerecoveries", None), Watched("queuetargets", None)
AWAY = failed("cannot be reached")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Case:
    clock: Clock = field(default_factory=Clock)
    namespaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.watches = Watches(self.namespaces, self.clock)

    def up(self) -> "Case":
        for which in (RECOVERIES, TARGETS):
            self.watches.begins(which)
            self.watches.succeeds(which)
        return self


def test_it_is_ready_once_both_are_watched() -> None:
    case = Case()
    assert case.watches.waits_for() == "waiting for the list of queuerecoveries, queuetargets"
    for which in (RECOVERIES, TARGETS):
        assert case.watches.waits_for()
        case.watches.begins(which)
        case.watches.succeeds(which)
    assert case.watches.waits_for() == ""


def test_each_namespace_is_watched() -> None:
    case = Case(namespaces=("media", "shop"))
    for name in ("queuerecoveries", "queuetargets"):
        case.watches.succeeds(Watched(name, "media"))
    case.watches.succeeds(Watched("queuetargets", "shop"))
    assert case.watches.waits_for() == 'waiting for the list of queuerecoveries in namespace "shop"'


def test_a_watch_that_is_renewed_does_not_matter() -> None:
    case = Case().up()
    case.watches.begins(TARGETS)
    case.clock.now += GRACE - 1
    assert case.watches.waits_for() == ""
    case.watches.succeeds(TARGETS)
    case.clock.now += GRACE
    assert case.watches.waits_for() == ""


@pytest.mark.parametrize("failure", [None, AWAY, NOT_SERVED, NOT_GRANTED])
def test_readiness_is_lost_when_a_watch_stays_away_for_longer_than_a_moment(failure: Failure | None) -> None:
    case = Case().up()
    case.watches.begins(TARGETS)
    for _ in range(2):
        if failure is not None:
            case.watches.fails(failure, TARGETS)
        assert case.watches.waits_for() == ""
        case.clock.now += GRACE / 2
    assert "queuetargets" in case.watches.waits_for()
    assert "queuerecoveries" not in case.watches.waits_for()
    case.watches.succeeds(TARGETS)
    assert case.watches.waits_for() == ""


@pytest.mark.parametrize(
    ("failure", "passing", "lasting"),
    [
        (NOT_SERVED, "does not serve them yet", "kubectl apply -k crds/"),
        (NOT_GRANTED, "does not grant access yet", 'Bind the ClusterRole "queue-recovery"'),
        (AWAY, "cannot be reached", "cannot be reached. Trying again"),
    ],
)
def test_a_failure_is_logged_once_and_is_a_warning_once_it_has_lasted(
    failure: Failure, passing: str, lasting: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    case = Case()
    for _ in range(int(2 * GRACE)):
        for which in (RECOVERIES, TARGETS):
            case.watches.begins(which)
            case.watches.fails(failure, which)
        case.clock.now += 1
    assert lasting in case.watches.waits_for()
    case.up()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert passing in caplog.messages[0]
    assert lasting in caplog.messages[1]
    assert caplog.messages[2] == "watching queuerecoveries, queuetargets"


def test_a_new_reason_is_given_its_time_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case = Case()
    case.watches.fails(NOT_SERVED, TARGETS)
    case.clock.now += GRACE
    case.watches.fails(failed("answers 429"), TARGETS)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert case.watches.waits_for() == (
        "waiting for the list of queuerecoveries; waiting for queuetargets: the API server answers 429"
    )


def test_what_all_watches_wait_for_is_reported_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case = Case()
    case.watches.fails(NOT_SERVED)
    assert caplog.messages == ["waiting for queuerecoveries, queuetargets: the API server does not serve them yet"]


def test_of_many_namespaces_some_are_named() -> None:
    case = Case(namespaces=("a", "b", "c"))
    assert case.watches.waits_for().endswith('queuetargets in namespace "b" and 2 more')
