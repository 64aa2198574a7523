"""What the operator's program answers by itself, without a cluster."""

import pytest

from queue_recovery.controller import command_line
from queue_recovery.controller.settings import Settings


def test_its_help_lists_every_setting_with_default_and_description(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.parse(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    text = " ".join(" ".join(lines).split())
    for name, field in Settings.model_fields.items():
        assert f"QUEUE_RECOVERY_{name.upper()} (default: " in text
        assert field.description
        assert field.description in text
    assert "QUEUE_RECOVERY_HTTP_PORT (default: 8080)" in text
    assert "QUEUE_RECOVERY_POD_NAME (default: the host's name)" in text
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("arguments", [["--verbose"], ["run"], ["--vers"], ["--version=1"]])
def test_an_argument_that_it_does_not_know_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.parse(arguments)
    assert ended.value.code == 2
    written = capsys.readouterr()
    [line] = written.err.splitlines()
    assert line.startswith("queue-recovery: ")
    assert line.endswith(". queue-recovery --help lists the settings")
    assert arguments[0].partition("=")[0] in line
    assert written.out == ""


def test_without_an_argument_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.parse([])
    assert capsys.readouterr() == ("", "")
