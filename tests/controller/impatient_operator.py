"""The operator, to which a failure has lasted after two seconds: tests wait for that."""

from unittest.mock import patch

from queue_recovery.controller import election, watches
from queue_recovery.controller.main import main

GRACE = 2.0

if __name__ == "__main__":
    with patch.object(election, "GRACE", GRACE), patch.object(watches, "GRACE", GRACE):
        main()
