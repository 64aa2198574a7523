"""What the Dockerfile promises, as far as it can be read: `tests/node` builds it and looks inside."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    """Return what follows each instruction of that name."""
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def copied() -> list[str]:
    """Return all that is copied from the repository."""
    return [source for line in instructions("COPY") if not line.startswith("--from=") for source in line.split()[:-1]]


def test_it_does_not_run_as_root_and_says_so_by_number() -> None:
    user, group = instructions("USER")[-1].split(":")

    assert int(user) > 0
    assert int(group) > 0


def test_arguments_of_a_container_are_arguments_of_the_operator() -> None:
    assert instructions("ENTRYPOINT") == ['["queue-recovery"]']
    assert instructions("CMD") == []


def test_everything_from_an_index_is_a_wheel_with_a_known_hash() -> None:
    installs = [part for line in instructions("RUN") for part in line.split("&&") if " install" in part]

    assert len(installs) == 3
    for install in installs:
        if "--no-index" not in install:
            assert "--require-hashes" in install
            assert "--only-binary :all:" in install


def test_bytecode_is_made_valid_for_any_time_that_a_builder_gives_the_files() -> None:
    installing = [line.split("&&") for line in instructions("RUN") if "/opt/queue-recovery/bin/python install" in line]

    assert len(installing) == 2
    for *_, install, compiling in installing:
        assert "install --no-compile " in install
        assert "-m compileall " in compiling
        assert " --invalidation-mode unchecked-hash " in compiling


def test_the_last_stage_copies_nothing_but_what_is_installed_and_the_operator_last() -> None:
    last = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]

    assert [line for line in last if line.startswith(("COPY", "ADD", "RUN"))] == [
        "COPY --from=build /opt/queue-recovery /opt/queue-recovery",
        "COPY --from=build /operator/opt/queue-recovery /opt/queue-recovery",
    ]


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_is_not_ignored(source: str) -> None:
    if not source.endswith("*"):
        assert (ROOT / source).exists()
    assert f"!{source.rstrip('*/')}" in IGNORED


def test_nothing_is_sent_to_the_builder_that_is_not_copied() -> None:
    assert IGNORED[0] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == {source.rstrip("*/") for source in copied()}


def test_the_tools_that_build_the_wheel_are_those_that_it_is_developed_with() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+) ", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    built, developed = pins("build.txt"), pins("dev.txt")
    names = {pin.partition("==")[0] for pin in developed}

    assert "hatchling" in {pin.partition("==")[0] for pin in built}
    assert [pin for pin in built - developed if pin.partition("==")[0] in names] == []
