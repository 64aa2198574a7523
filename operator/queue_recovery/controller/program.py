"""The program `queue-recovery`: loads the operator, then runs it."""

import gc


def main() -> None:
    """Run until SIGTERM or SIGINT; see `queue_recovery.controller.main`.

    Loading leaves no garbage, and looking for it would take a fifth of the start.
    """
    gc.disable()
    from queue_recovery.controller.main import main as run  # noqa: PLC0415 - only once nothing is collected

    gc.enable()
    run()
