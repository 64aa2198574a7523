"""The user that docs/security.md has people create for the operator."""

import re
import shlex

from sandbox.processes import ROOT


def rules(prefix: str = "") -> list[str]:
    """Return the arguments of ACL SETUSER behind the user's name, as redis-cli reads them.

    Args:
        prefix: the application's `global_keyprefix`; put before each pattern of keys, as the page says.
    """
    page = (ROOT / "docs/security.md").read_text()
    (command,) = re.findall(r"^    (ACL SETUSER (?:.*\\\n)*.*)$", page, re.MULTILINE)
    _, _, _, *words = shlex.split(command.replace("\\\n", " "))
    return [re.sub(r"^(%R)?~", rf"\1~{prefix}", word.encode().decode("unicode_escape")) for word in words]
