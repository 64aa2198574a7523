"""Reading documents whose size somebody else decides: how large they are is asked before they are read.

`$bsonSize` and expressions in a projection are those of MongoDB 4.4 and later.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from pymongo.asynchronous.collection import AsyncCollection

from queue_recovery.jobs.documents import Document
from queue_recovery.jobs.failures import translated
from queue_recovery.jobs.guarded import Reach

_T = TypeVar("_T")

MOST_READ: Final = 512 * 1024
"""Bytes of the documents that are read at once, and of what the target maps of a single one: as much as the jobs of a
recovery may write out (`recovery.JobSpec`)."""


async def read(
    collection: AsyncCollection[dict[str, object]], keys: Sequence[object], fields: Sequence[str], reach: Reach
) -> AsyncIterator[tuple[object, Document | None]]:
    """Return the documents of these ids that exist, with these fields alone; None for one in which they are too large.

    Those of one answer take no more than `MOST_READ`.
    """
    parts = {str(number): f"${field}" for number, field in enumerate(fields)}
    sizes: dict[object, int] = {}
    for document in await _find(collection, keys, {"size": {"$bsonSize": parts}}, reach):
        size = document.get("size")
        sizes[document["_id"]] = size if isinstance(size, int) else MOST_READ  # one by one where it is not told
    for portion in portions(sizes):
        if sizes[portion[0]] > MOST_READ:
            yield portion[0], None
            continue
        for document in await _find(collection, portion, dict.fromkeys(fields, 1), reach):
            yield document["_id"], document


async def _find(
    collection: AsyncCollection[dict[str, object]],
    keys: Sequence[object],
    projection: Mapping[str, object],
    reach: Reach,
) -> list[dict[str, object]]:
    with translated("find", collection.full_name, reach):
        return await collection.find({"_id": {"$in": keys}}, projection).to_list()


def portions(sizes: Mapping[_T, int]) -> Iterator[list[_T]]:
    """Cut keys into portions that take no more than `MOST_READ` together; one that is larger is a portion alone."""
    portion: list[_T] = []
    total = 0
    for key, size in sizes.items():
        if portion and total + size > MOST_READ:
            yield portion
            portion, total = [], 0
        portion.append(key)
        total += size
    if portion:
        yield portion
