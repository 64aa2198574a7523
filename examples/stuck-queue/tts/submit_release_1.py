"""The producer as release 1 had it: `python -m tts.submit_release_1 ID=TEXT …`.

It meant to save the worker a read and sent the text along, as the bytes that it had at hand. JSON has no bytes; the
list of numbers that was made of them is not a text, and no worker can ever read it.
"""

import sys

from tts.submit import submit


def arguments(job_id: str, text: str) -> list[object]:
    """Return what the message carries: the id, and the text in the wrong shape."""
    return [job_id, list(bytearray(text, "utf-8"))]


if __name__ == "__main__":
    submit(sys.argv[1:], arguments)
