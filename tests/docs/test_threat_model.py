"""Each row of the threat model names the test that shows it."""

from sandbox.processes import ROOT


def test_the_threat_model_names_a_test_for_each_of_its_rows() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]

    assert [row for row in rows if "`tests/" not in row and not row.startswith(("| who |", "| threat |"))] == []
