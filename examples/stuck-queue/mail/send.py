"""The producer: `python -m mail.send` sends a mail every twentieth of a second until it is stopped.

Each mail is a document in `mails`, so that a comparison with `deliveries` shows lost and duplicate mails.
"""

import signal
import threading

import database

from mail.worker import deliver

PAUSE_SECONDS = 0.05
UNDO_SECONDS = 1
"""How long a mail can still be cancelled. Meanwhile its message is in a worker, and so in Redis's `unacked`."""


def main() -> None:
    """Send mails."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    number = database.app().mails.count_documents({})
    while not stopped.wait(PAUSE_SECONDS):
        number += 1
        database.app().mails.insert_one({"_id": number})
        deliver.apply_async([number], countdown=UNDO_SECONDS)


if __name__ == "__main__":
    main()
