"""What the demo does when something that it states does not hold."""

import io

import pytest
from rich.console import Console

import demo.__main__
from demo.facts import FactError, Facts
from demo.narrate import Narrator


@pytest.fixture
def told() -> io.StringIO:
    """What has been told so far."""
    return io.StringIO()


@pytest.fixture
def facts(told: io.StringIO) -> Facts:
    """Facts that are told as plain text."""
    return Facts(Narrator(Console(file=told)))


def test_a_fact_that_holds_is_told(facts: Facts, told: io.StringIO) -> None:
    facts.equal("two workers are back", 2, 2)
    facts.holds("the others are mails", 17)
    assert told.getvalue() == "  ✓ two workers are back\n  ✓ the others are mails\n"


def test_a_fact_that_does_not_hold_names_what_was_expected_and_what_was_found(facts: Facts, told: io.StringIO) -> None:
    with pytest.raises(FactError, match=r"(?s)two workers are back.*expected: 2.*found: +1"):
        facts.equal("two workers are back", 1, 2)
    with pytest.raises(FactError, match=r"(?s)the others are mails.*found: 0"):
        facts.holds("the others are mails", 0)
    assert not told.getvalue()


def test_the_demo_fails_when_a_fact_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def lie(narrator: Narrator) -> None:
        Facts(narrator).equal("the queue is empty", 3, 0)

    monkeypatch.setattr(demo.__main__, "tell", lie)
    assert demo.__main__.main() == 1
    assert "the queue is empty: this does not hold" in capsys.readouterr().out
