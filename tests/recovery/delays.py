"""The pauses between the tries of a recovery, which have jitter."""

from collections.abc import Sequence


def follow_delays(pauses: Sequence[float], delays: Sequence[float]) -> bool:
    """Tell whether each pause is one that jitter may make of its delay."""
    return len(pauses) == len(delays) and all(
        delay / 2 <= pause <= delay for pause, delay in zip(pauses, delays, strict=True)
    )
