"""True facts are printed, and a false one ends the demo."""

import io

import pytest
from rich.console import Console

import demo.__main__
from demo.facts import FactError, Facts
from demo.narrate import Narrator


@pytest.fixture
def output() -> io.StringIO:
    """The demo's output so far."""
    return io.StringIO()


@pytest.fixture
def facts(output: io.StringIO) -> Facts:
    """Return facts that are printed as plain text."""
    return Facts(Narrator(Console(file=output)))


def test_a_true_fact_is_printed(facts: Facts, output: io.StringIO) -> None:
    facts.equal("two workers are back", 2, 2)
    facts.holds("the others are mails", 17)
    assert output.getvalue() == "  ✓ two workers are back\n  ✓ the others are mails\n"


def test_a_false_fact_names_the_expected_and_the_found_value(facts: Facts, output: io.StringIO) -> None:
    with pytest.raises(FactError, match=r"(?s)two workers are back.*expected: 2.*found: +1"):
        facts.equal("two workers are back", 1, 2)
    with pytest.raises(FactError, match=r"(?s)the others are mails.*found: 0"):
        facts.holds("the others are mails", 0)
    assert not output.getvalue()


def test_the_demo_fails_at_a_false_fact(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def state_a_falsehood(narrator: Narrator) -> None:
        Facts(narrator).equal("the queue is empty", 3, 0)

    monkeypatch.setattr(demo.__main__, "tell", state_a_falsehood)
    assert demo.__main__.main() == 1
    assert "the queue is empty: this does not hold" in capsys.readouterr().out
