"""The operator as a pod runs it: its ServiceAccount in mounted files, and a user without an entry in /etc/passwd."""

import os
import pwd
from pathlib import Path
from typing import NoReturn

from kubernetes.aio.config import incluster_config

from queue_recovery.controller.main import main


def _unknown(number: int) -> NoReturn:
    raise KeyError(f"getpwuid(): uid not found: {number}")


if __name__ == "__main__":
    folder = Path(os.environ["SERVICE_ACCOUNT_FOLDER"])
    incluster_config.SERVICE_TOKEN_FILENAME = str(folder / "token")
    incluster_config.SERVICE_CERT_FILENAME = str(folder / "ca.crt")
    pwd.getpwuid = _unknown
    main()
