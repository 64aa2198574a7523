"""The pictures of `docs/concepts.md` show the phases and the states that the code has."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.recovery_status import Phase, Plan, QueueRecoveryStatus
from queue_recovery.recovery.phase import TERMINAL, phase_of, set_step
from sandbox.processes import ROOT

PAGE = (ROOT / "docs" / "concepts.md").read_text()
SCRIPTS = ROOT / "operator" / "queue_recovery" / "broker" / "scripts"

Edge = tuple[str, str, str]
"""Where an arrow begins and ends, and its label; `[*]` is no state."""


def edges(section: str) -> list[Edge]:
    """Return the arrows of the picture in a section of the page."""
    _, _, text = PAGE.partition(f"\n## {section}\n")
    picture = text.partition("```mermaid\n")[2].partition("```")[0]
    return re.findall(r"^ *(\S+) --> (\w+|\[\*\])(?:: (.*))?$", picture, re.MULTILINE)


PHASES = edges("Recovery")
STATES = edges("A run in Redis")
"""Of a run."""


def names(arrows: list[Edge]) -> set[str]:
    return {name for begin, end, _ in arrows for name in (begin, end)} - {"[*]", "Unfinished"}


def test_the_phases_are_those_of_the_api() -> None:
    assert names(PHASES) == set(Phase)
    assert {begin for begin, end, _ in PHASES if end == "[*]"} >= TERMINAL
    assert {end for begin, end, _ in PHASES if begin == "Unfinished"} == TERMINAL


@pytest.mark.parametrize(
    "steps",
    [
        (ConditionType.DRAINED, ConditionType.PURGED, ConditionType.RESTARTED, ConditionType.REENQUEUED),
        (ConditionType.RESTORED,),
    ],
    ids=["a recovery", "a restore"],
)
def test_the_phases_follow_one_another_as_their_conditions_do(steps: tuple[ConditionType, ...]) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    status = QueueRecoveryStatus()
    phases = [phase_of(status)]
    status = status.model_copy(
        update={"plan": Plan(time="2026-03-01T03:00:01Z", ready=1, unacked=2, enqueue=3, skip=0)}
    )
    phases.append(phase_of(status))
    for kind in steps:
        status = set_step(status, kind, "False", "Completed", "", now=now, generation=1)
        phases.append(phase_of(status))

    assert set(pairwise(phases)) <= {(begin, end) for begin, end, _ in PHASES}


def written_by(script: Path) -> set[str]:
    """Return the states that a script writes to a run."""
    written = re.findall(r"redis\.call\('HSET', run,.*'state', '(\w+)'", script.read_text())
    return set(written)


def test_the_states_of_a_run_are_those_that_the_scripts_write() -> None:
    assert names(STATES) == {state for script in SCRIPTS.glob("*.lua") for state in written_by(script)}


def labelled() -> Iterator[tuple[str, str]]:
    """Yield the script on each arrow to a state, and the state."""
    for _, end, label in STATES:
        if end != "[*]":
            yield label.partition(".lua")[0], end


def test_each_arrow_names_a_script_that_writes_its_state() -> None:
    assert [(name, end) for name, end in labelled() if end not in written_by(SCRIPTS / f"{name}.lua")] == []


def test_each_state_that_a_script_writes_has_an_arrow() -> None:
    written = {(script.stem, state) for script in SCRIPTS.glob("*.lua") for state in written_by(script)}

    assert written == set(labelled())


def test_the_states_are_explained_in_their_order() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert sorted(explained) == sorted(names(STATES))
