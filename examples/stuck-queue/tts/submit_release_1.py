"""The producer of release 1: `python -m tts.submit_release_1 ID=TEXT …`.

It sends the text as bytes, to save the worker a read. JSON has no bytes, so they become a list of numbers, which no
worker can ever process as text.
"""

import sys

from tts.submit import submit


def arguments(job_id: str, text: str) -> list[object]:
    """Return the message's arguments: the id, and the text in the wrong form."""
    return [job_id, list(bytearray(text, "utf-8"))]


if __name__ == "__main__":
    submit(sys.argv[1:], arguments)
