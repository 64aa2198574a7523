"""The operator where DNS never answers for the hosts of a zone."""

import socket
import sys
import threading
from typing import Any
from unittest.mock import patch

from queue_recovery.controller.main import main

ZONE = ".unanswered.example"

if __name__ == "__main__":
    resolve = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as `socket` has it
        """Look a host up, or wait indefinitely."""
        if not str(host).endswith(ZONE):
            return resolve(host, *rest, **more)
        sys.stderr.write(f"{host} is looked up\n")
        sys.stderr.flush()
        threading.Event().wait()
        return None

    with patch.object(socket, "getaddrinfo", look_up):
        main()
