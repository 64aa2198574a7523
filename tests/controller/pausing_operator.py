"""The operator, which stands still just before it sends the first status of a recovery: `SIGSTOP`, until `SIGCONT`."""

import os
import signal
import sys

from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.controller.main import main
from queue_recovery.controller.resource import KubernetesResource


def pause_before_the_first_write() -> None:
    """Stop the process in the turn of the event loop that is about to send the status."""
    write = KubernetesResource.write

    async def paused(self: KubernetesResource, status: QueueRecoveryStatus) -> None:
        KubernetesResource.write = write  # type: ignore[method-assign]
        sys.stderr.write("about to write a status\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSTOP)
        await write(self, status)

    KubernetesResource.write = paused  # type: ignore[method-assign]


if __name__ == "__main__":
    pause_before_the_first_write()
    main()
