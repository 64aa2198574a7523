"""Read documents of any size in bounded memory: ask for their sizes first.

`$bsonSize` and expressions in a projection are those of MongoDB 4.4 and later.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from pymongo.asynchronous.collection import AsyncCollection

from queue_recovery.jobs.connections import Connections
from queue_recovery.jobs.documents import Document
from queue_recovery.jobs.failures import translated_failures

_T = TypeVar("_T")

MAX_READ_BYTES: Final = 512 * 1024
"""Of the documents read by one command, and of the mapped fields of one document: as much as all jobs that a
recovery's spec writes out may take (`recovery_spec.JobSpec`)."""


async def read(
    collection: AsyncCollection[dict[str, object]],
    keys: Sequence[object],
    fields: Sequence[str],
    connections: Connections,
) -> AsyncIterator[tuple[object, Document | None]]:
    """Return these fields of the documents that exist; None where they are too large.

    The documents of one answer take no more than `MAX_READ_BYTES`.
    """
    parts = {str(number): f"${field}" for number, field in enumerate(fields)}
    sizes: dict[object, int] = {}
    for document in await _find(collection, keys, {"size": {"$bsonSize": parts}}, connections):
        size = document.get("size")
        sizes[document["_id"]] = (
            size if isinstance(size, int) else MAX_READ_BYTES
        )  # read alone if the server does not say
    for batch in batches_by_size(sizes):
        if sizes[batch[0]] > MAX_READ_BYTES:
            yield batch[0], None
            continue
        for document in await _find(collection, batch, dict.fromkeys(fields, 1), connections):
            yield document["_id"], document


async def _find(
    collection: AsyncCollection[dict[str, object]],
    keys: Sequence[object],
    projection: Mapping[str, object],
    connections: Connections,
) -> list[dict[str, object]]:
    with translated_failures("find", collection.full_name, connections):
        return await collection.find({"_id": {"$in": keys}}, projection).to_list()


def batches_by_size(sizes: Mapping[_T, int]) -> Iterator[list[_T]]:
    """Cut keys into batches of at most `MAX_READ_BYTES`, or of one key."""
    batch: list[_T] = []
    total = 0
    for key, size in sizes.items():
        if batch and total + size > MAX_READ_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(key)
        total += size
    if batch:
        yield batch
