"""The program `queue-recovery`: load the operator, then run it."""

import gc


def main() -> None:
    """Run until SIGTERM or SIGINT; see `queue_recovery.controller.main`."""
    gc.disable()  # loading leaves no garbage, and looking for it would take a fifth of the start
    from queue_recovery.controller.main import main as run  # noqa: PLC0415 - only once nothing is collected

    # The objects of modules live as long as the process. Otherwise they count, and the collector runs only once garbage
    # has grown to a quarter of their size.
    gc.freeze()
    gc.enable()
    run()
