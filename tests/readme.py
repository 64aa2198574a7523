"""The commands of README.md, to be run as they are written there."""

import re

from sandbox.processes import ROOT


def commands(heading: str) -> list[str]:
    """Return the commands of a section in their order: what is indented by four spaces, or is in a fence of `sh`."""
    text = (ROOT / "README.md").read_text()
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, f"README.md has no section {heading!r}"
    found = re.findall(r"^```sh\n(.*?)^```|((?:^    .*\n)+)", section[1], re.MULTILINE | re.DOTALL)
    return [line.strip() for fenced, indented in found for line in (fenced or indented).splitlines() if line.strip()]


def command(heading: str, beginning: str) -> str:
    """Return the one command of a section that begins so."""
    (found,) = [line for line in commands(heading) if line.startswith(beginning)]
    return found
