"""The shapes of replies. A proxy, or what is no Redis server at all, may answer anything."""

from collections.abc import Mapping
from itertools import chain, cycle
from types import UnionType

from redis.exceptions import InvalidResponse

from queue_recovery.broker.scripts import Reading

Shape = tuple[tuple[type | UnionType, ...], tuple[type | UnionType, ...]]
"""The types of a list's first elements, and of those that follow, over and over."""

WORDS: Shape = (), (bytes,)
MAYBE_WORDS: Shape = (), (bytes | None,)
SIZED: Shape = (), (int, bytes | None)

SHAPES: Mapping[Reading, Shape] = {
    Reading.LIST: SIZED,
    Reading.NEWEST: SIZED,
    Reading.FIELDS: SIZED,
    Reading.HASH: ((bytes,), (bytes | None, int, bytes | None)),
    Reading.EACH: MAYBE_WORDS,
    Reading.RECORD: ((bytes,), (bytes, bytes)),
    Reading.SET: ((bytes,), (bytes,)),
    Reading.KINDS: ((), (int, bytes, int)),
    Reading.OLDEST: ((int, bytes), (bytes, bytes, int)),
    Reading.DELIVERED: ((int,), (bytes, bytes, int)),
    Reading.NEXT: SIZED,
}
"""What the scripts that read answer."""


def text(answer: object) -> bytes:
    """Return an answer that is one text; raises InvalidResponse if it is not."""
    if not isinstance(answer, bytes):
        raise InvalidResponse("an answer is no text")
    return answer


def shaped(answer: object, shape: Shape) -> list[object]:
    """Return an answer that is a list of this shape; raises InvalidResponse if it is not."""
    if not isinstance(answer, list):
        raise InvalidResponse("an answer is no list")
    first, each = shape
    rest = answer[len(first) :]
    if len(answer) < len(first) or len(rest) % len(each):
        raise InvalidResponse("an answer has another number of elements")
    if not all(map(isinstance, answer, chain(first, cycle(each)))):
        raise InvalidResponse("an answer has elements of other types")
    return answer
