"""The settings are documented as they are."""

from queue_recovery.controller.settings import Settings
from sandbox.processes import ROOT


def test_every_setting_is_in_the_documentation_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "operate.md").read_text()
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `QUEUE_RECOVERY_")]
    assert rows == [f"QUEUE_RECOVERY_{name.upper()}" for name in Settings.model_fields]


def test_namespaces_are_separated_by_commas() -> None:
    assert Settings.model_validate({"namespaces": " a, b,"}).namespaces == ("a", "b")
