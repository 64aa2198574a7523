"""A collection of jobs in MongoDB, as `recovery.ports.JobStore` describes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Self, TypeVar, get_args

from pymongo import AsyncMongoClient, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import MongoDB
from queue_recovery.diagnosis.failure import Failure, failure_in
from queue_recovery.jobs import documents, reading
from queue_recovery.jobs.claims import (
    STAMPS,
    Stamp,
    claim_write,
    fence_write,
    is_claimed,
    is_claimed_as,
    needs_document,
    release_write,
    revert_write,
    stamp_of,
    stamp_path,
    was_claimed,
)
from queue_recovery.jobs.connections import Connections
from queue_recovery.jobs.documents import Document, TypedId
from queue_recovery.jobs.failures import (
    UNSTAMPABLE,
    Action,
    permission_denied,
    refused_writes,
    translated_failures,
    writes_refused,
)
from queue_recovery.jobs.tls import TLS
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Claim, StoredJob
from queue_recovery.recovery.wording import quoted

_T = TypeVar("_T")

_BATCH: Final = 500
"""Updates sent in one command."""


class MongoJobStore:
    """One collection of jobs; see `recovery.ports.JobStore`."""

    def __init__(
        self,
        client: AsyncMongoClient[dict[str, object]],
        collection: AsyncCollection[dict[str, object]],
        spec: MongoDB,
        connections: Connections,
        tls: TLS,
        *,
        release: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Store the client and its collection; see `connecting.connect`.

        `release` is for a client that others use too: `aclose` calls it instead of closing the client.
        """
        self._release = release or self._close
        self.unverified = tls.unverified
        self._connections = connections
        self._tls = tls
        self._client = client
        self._collection = collection
        self._spec = spec
        self._fields = spec.fields

    async def check(self) -> None:
        """Check that jobs can be read and updated.

        Tries each with a condition that matches no document.

        Raises:
            RecoveryError: `JobStoreUnavailable`, `JobStoreAuthenticationFailed`, or `JobStorePermissionDenied`, which
                names every action that is missing.
        """
        nothing: Mapping[str, object] = {"_id": {"$in": []}}
        denied: list[Action] = []
        for action in get_args(Action):
            try:
                with translated_failures(action, self._collection.full_name, self._connections):
                    if action == "find":
                        await self._collection.find_one(nothing, projection={"_id": 1})
                    else:
                        await self._collection.update_one(nothing, {"$set": {f"{STAMPS}.check": True}})
            except RecoveryError as error:
                if error.reason != Reason.JOB_STORE_PERMISSION_DENIED:
                    raise
                denied.append(action)
        if denied:
            raise permission_denied(denied, self._collection.full_name)

    def fits(self, job_id: str | int) -> bool:
        """Tell whether the id has the form of `idType`; see `documents.fits`."""
        return documents.fits(job_id, self._spec.id_type)

    async def look_up(self, ids: Sequence[str]) -> AsyncIterator[StoredJob]:
        """Return the documents that exist, one after the other.

        Raises:
            RecoveryError: as `check` does; at the end `InvalidArguments`, naming the jobs whose mapped fields are too
                large, or hold what JSON cannot.
        """
        unreadable: list[str] = []
        large: list[str] = []
        paths = [self._top(path) for path in self._fields.model_dump(exclude={"error"}).values() if path]
        async for job_id, document in self._find(ids, paths):
            if document is None:
                large.append(job_id)
                continue
            try:
                job = documents.stored_job(job_id, document, self._fields)
            except documents.Unreadable:
                unreadable.append(job_id)
            else:
                yield job
            await asyncio.sleep(0)  # large arguments take some milliseconds: let other tasks run
        if large:
            raise RecoveryError(
                Reason.INVALID_ARGUMENTS,
                f"the mapped fields in the documents of {quoted(large)} take more than {reading.MAX_READ_BYTES} "
                "bytes each. Store large arguments elsewhere and refer to them, or leave these jobs out",
            )
        if unreadable:
            raise RecoveryError(
                Reason.INVALID_ARGUMENTS,
                f"JSON cannot hold the task or the arguments in the documents of {quoted(unreadable)}. "
                "Correct the documents, or write these jobs out in a new recovery",
            )

    async def errors(self, ids: Sequence[str]) -> AsyncIterator[tuple[str, Failure]]:
        """Return the failures that documents hold, by job id; raises RecoveryError as `check` does."""
        path = self._fields.error
        async for job_id, document in self._find(ids, [self._top(path)]):
            failure = None if document is None else failure_in(documents.field(document, path))
            if failure is not None:
                yield job_id, failure
            await asyncio.sleep(0)  # a document may hold half a megabyte of text

    async def claim(self, run_uid: str, claims: Sequence[Claim], *, now: datetime) -> frozenset[str]:
        """Claim each job that is still as it was seen.

        Returns the ids that are claimed by this or an earlier call.

        Raises:
            RecoveryError: `JobStoreWriteRefused`, naming the jobs whose documents refuse the claim.
            RecoveryError: as `check` does; some claims may have been written.
        """
        ours: set[str] = set()
        for batch in _batches(claims):
            ours |= await self._claim(run_uid, {claim.id: claim for claim in batch}, now)
        return frozenset(ours)

    async def settle(self, run_uid: str, unpushed: Sequence[str], *, now: datetime) -> None:
        """Release each of these jobs, and revert the status and task id of a claimed one.

        A job that another client has changed since it was claimed is stamped and otherwise left alone. A document that
        cannot take the stamp needs none: a claim of it fails for the same reason.

        Raises:
            RecoveryError: as `check` does, or `JobStoreReleaseRefused`, naming the jobs that cannot be given back.
        """
        stuck: dict[str, int] = {}
        for batch in _batches(unpushed):
            stuck |= await self._settle(run_uid, batch, now)
        if stuck:
            raise RecoveryError(Reason.JOB_STORE_RELEASE_REFUSED, writes_refused(stuck))

    async def fence(self, run_uid: str, task_ids: Mapping[str, str], *, now: datetime) -> frozenset[str]:
        """Stamp the jobs that were never claimed as released, and return them.

        The others were claimed, or their documents are gone. A document with the task id of a claim (`task_ids`, by
        job) was claimed even without a stamp: an application that saves whole documents drops the stamp.

        Raises:
            RecoveryError: as `check` does.
        """
        released: set[str] = set()
        path = self._fields.task_id
        for batch in _batches(list(task_ids)):
            _, found = await self._fence(run_uid, batch, now)
            never = [job_id for job_id, stamp in found.items() if not was_claimed(stamp)]
            if not path:
                released.update(never)
                continue
            async for job_id, document in self._find(never, [self._top(path)]):
                if document is not None and documents.text(document, path) != task_ids[job_id]:
                    released.add(job_id)
        return frozenset(released)

    @property
    def is_sound(self) -> bool:
        """Whether its connections can be used; False once an address was not allowed."""
        return not self._connections.address_refused

    def for_one_user(self, release: Callable[[], Awaitable[None]]) -> Self:
        """Return a job store over the same connections; its `aclose` calls `release`."""
        return type(self)(self._client, self._collection, self._spec, self._connections, self._tls, release=release)

    async def aclose(self) -> None:
        """Close the connections, or release them if others use them too."""
        await self._release()

    async def _close(self) -> None:
        try:
            await self._client.close()
        finally:
            self._tls.close()

    async def _claim(self, run_uid: str, claims: Mapping[str, Claim], now: datetime) -> set[str]:
        needed = [claim.id for claim in claims.values() if needs_document(claim, self._fields)]
        written = [self._top(path) for path in (self._fields.status, self._fields.task_id) if path]
        found = {job_id: document or {} async for job_id, document in self._find(needed, written)}
        refused, matched = await self._write(
            {
                job_id: claim_write(
                    self._key(job_id),
                    claim,
                    found.get(job_id, {}),
                    self._fields,
                    pending=self._spec.statuses.pending,
                    run_uid=run_uid,
                    now=now,
                )
                for job_id, claim in claims.items()
            }
        )
        if refused:
            raise RecoveryError(Reason.JOB_STORE_WRITE_REFUSED, writes_refused(refused))
        if matched == len(claims):
            return set(claims)
        return {
            job_id
            async for job_id, document in self._find(list(claims), [stamp_path(run_uid)])
            if is_claimed_as(stamp_of(document or {}, run_uid), claims[job_id])
        }

    async def _settle(self, run_uid: str, ids: Sequence[str], now: datetime) -> dict[str, int]:
        """Settle one batch; return the jobs that refused, with the server's codes."""
        unstamped, found = await self._fence(run_uid, ids, now)
        claimed = {job_id: stamp for job_id, stamp in found.items() if is_claimed(stamp)}
        not_reverted, _ = await self._write(
            {
                job_id: revert_write(self._key(job_id), stamp, self._fields, run_uid=run_uid, now=now)
                for job_id, stamp in claimed.items()
            }
        )
        # These updates do not match the jobs that the ones before have released.
        not_released, _ = await self._write(
            {
                job_id: release_write(self._key(job_id), stamp, run_uid=run_uid, now=now)
                for job_id, stamp in claimed.items()
                if job_id not in not_reverted
            }
        )
        return (
            {job_id: code for job_id, code in unstamped.items() if code not in UNSTAMPABLE}
            | not_reverted
            | not_released
        )

    async def _fence(self, run_uid: str, ids: Sequence[str], now: datetime) -> tuple[dict[str, int], dict[str, Stamp]]:
        """Stamp the jobs of one batch that were never claimed.

        Returns the jobs whose documents refused the stamp, with the server's codes, and all stamps as they are now.
        """
        unstamped, _ = await self._write(
            {job_id: fence_write(self._key(job_id), run_uid=run_uid, now=now) for job_id in ids}
        )
        found = {
            job_id: stamp
            async for job_id, document in self._find(ids, [stamp_path(run_uid)])
            if (stamp := stamp_of(document or {}, run_uid)) is not None
        }
        return unstamped, found

    def _key(self, job_id: str) -> TypedId:
        return documents.typed(job_id, self._spec.id_type)

    @staticmethod
    def _top(path: str) -> str:
        """Return the top-level field of a path, which is read as a whole."""
        return path.partition(".")[0]

    async def _find(self, ids: Sequence[str], paths: Iterable[str]) -> AsyncIterator[tuple[str, Document | None]]:
        """Return these fields of the documents that exist; None where they are too large."""
        fields = list(dict.fromkeys(paths))
        for batch in _batches(ids):
            wanted: dict[object, str] = {self._key(job_id): job_id for job_id in batch}
            async for key, document in reading.read(self._collection, list(wanted), fields, self._connections):
                # The collection's collation may match other ids too.
                if key in wanted:
                    yield wanted[key], document

    async def _write(self, writes: Mapping[str, UpdateOne]) -> tuple[dict[str, int], int]:
        """Send the updates, independent of each other.

        Returns the ids whose documents refused, with the server's codes; if there are none, how many matched.
        """
        if not writes:
            return {}, 0
        with translated_failures("update", self._collection.full_name, self._connections):
            try:
                result = await self._collection.bulk_write(list(writes.values()), ordered=False)
            except BulkWriteError as error:
                refused = refused_writes(error, list(writes))
                if refused is None:
                    raise
                return refused, 0
        return {}, result.matched_count


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
