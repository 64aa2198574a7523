"""The operator, started as often as a campaign needs it: a process that has loaded all of it forks one for each order.

An order is a line of JSON on standard input: the new operator's whole environment, and its log. The answer is its
process id. Loading takes seconds, forking none.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from kubernetes.aio.config import kube_config

from queue_recovery.controller.main import main
from tests.chaos import effects


def serve() -> None:
    """Fork an operator for each order until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets them when they end
    while order := sys.stdin.readline():
        operator = os.fork()
        if operator == 0:
            _become(**json.loads(order))
        sys.stdout.write(f"{operator}\n")
        sys.stdout.flush()


def _become(environment: dict[str, str], log: str) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # nothing is held yet
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(Path(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    # Read from the environment when the client was loaded, which is over.
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = environment["KUBECONFIG"]
    effects.install(environment)
    try:
        main()
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    serve()
