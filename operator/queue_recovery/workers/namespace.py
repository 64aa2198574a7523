"""The objects of one namespace in the API server: collections are listed and watched, single objects are written."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Generic

from aiohttp import ClientResponse
from aiohttp.http_exceptions import LineTooLong
from kubernetes.aio.client import ApiException
from pydantic import ValidationError

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.api_errors import API_ERRORS, CONNECTION_ERRORS, to_recovery_error
from queue_recovery.workers.calls import REQUEST_SECONDS, answer, bounded_answer, opened
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.objects import Bookmark, ObjectList, ObjectT
from queue_recovery.workers.permissions import ServiceAccount, forbidden
from queue_recovery.workers.resources import Kind, Resources, Writable

FIELD_MANAGER: Final = "queue-recovery"
"""The manager in `managedFields` of what the operator writes."""

Patch = dict[str, object]
"""A merge patch, or one operation of a JSON patch."""

_WATCH_SECONDS: Final = 300
"""After which the server ends a watch, which is then resumed.

It is also how long a connection that died silently may go unnoticed.
"""


_MOST_OBJECTS: Final = 100
"""In one page of a list."""

_PAGE_BYTES: Final = 2**20
"""The largest page of several objects; it occupies the event loop for less than 50 ms."""

OBJECT_BYTES: Final = 2**21
"""The largest object. The API server stores none of more than 1.5 MiB, which are a few more as JSON."""

_ATTEMPTS: Final = 3
"""How often a list is begun."""


class Conflict(Exception):
    """The write was meant for another object, or for another version of it."""


class NotFound(Exception):
    """The object does not exist."""


class Interrupted(Exception):
    """A list or a watch cannot be resumed: list again."""


@dataclass(frozen=True)
class Updated(Generic[ObjectT]):
    """An object that a watch reports as created or changed."""

    object: ObjectT


@dataclass(frozen=True)
class Deleted(Generic[ObjectT]):
    """An object that a watch reports as deleted."""

    object: ObjectT


@dataclass(frozen=True)
class Reached:
    """The version that a watch has reached, without an object (a bookmark)."""

    resource_version: str


class Namespace:
    """One namespace, with the permissions of the operator.

    Every call may raise RecoveryError (`Forbidden`, with the command that grants access, `KubernetesUnavailable`,
    `WorkerWriteRefused`).
    """

    def __init__(self, connections: Connections, name: str, account: ServiceAccount) -> None:
        self.name = name
        self._account = account
        self.resources = Resources(connections)

    async def fetch(self, kind: Kind[ObjectT]) -> ObjectList[ObjectT]:
        """Return a collection as it is now, at one version, read in pages between which other work goes on."""
        for _ in range(_ATTEMPTS):
            with suppress(Interrupted):
                return await self._fetch(kind)
        raise RecoveryError(
            Reason.KUBERNETES_UNAVAILABLE, "the API server ends lists before they are read to their end. Trying again"
        )

    async def _fetch(self, kind: Kind[ObjectT]) -> ObjectList[ObjectT]:
        """Read the pages; raises Interrupted when the API server does not have the rest of them any more."""
        items: list[ObjectT] = []
        limit, token = _MOST_OBJECTS, ""
        while True:
            with self._translated():
                body = await self._page(kind, limit, token)
                page = None if body is None else kind.listed.model_validate_json(body)
            if body is None or page is None:
                if limit == 1:
                    raise self._too_large()
                limit = max(1, limit // 4)
                continue
            items += page.items
            token = page.metadata.token
            if not token:
                return kind.listed(metadata=page.metadata, items=items)
            if len(body) < _PAGE_BYTES // 4:
                limit = min(2 * limit, _MOST_OBJECTS)
            await asyncio.sleep(0)

    async def _page(self, kind: Kind[ObjectT], limit: int, token: str) -> bytes | None:
        """Return one page; None: it is too large."""
        call = kind.lists(self.name, limit=limit, _continue=token, _request_timeout=REQUEST_SECONDS)
        try:
            return await bounded_answer(call, OBJECT_BYTES if limit == 1 else _PAGE_BYTES)
        except ApiException as error:
            if error.status == HTTPStatus.GONE and token:
                raise Interrupted from None
            raise

    def _too_large(self) -> RecoveryError:
        return RecoveryError(
            Reason.KUBERNETES_UNAVAILABLE,
            f'namespace "{self.name}" has a Pod, a ReplicaSet or a worker of more than {OBJECT_BYTES // 2**20} MiB, '
            "which is not read. Remove what makes it so large",
        )

    async def watch(
        self, kind: Kind[ObjectT], since: str
    ) -> AsyncGenerator[Updated[ObjectT] | Deleted[ObjectT] | Reached, None]:
        """Yield what changes after the version `since`, until the server ends the watch.

        Raises:
            Interrupted: the version is too old, or the connection broke.
        """
        with self._translated():
            try:
                response = await opened(
                    kind.watches(
                        self.name,
                        watch=True,
                        resource_version=since,
                        allow_watch_bookmarks=True,
                        timeout_seconds=_WATCH_SECONDS,
                        _request_timeout=_WATCH_SECONDS + REQUEST_SECONDS,
                    )
                )
            except ApiException as error:
                if error.status == HTTPStatus.GONE:
                    raise Interrupted from None
                raise
            except CONNECTION_ERRORS:
                raise Interrupted from None
        try:
            while line := await _line(response):
                yield _event(line, kind)
        finally:
            response.close()

    async def read(self, kind: Writable[ObjectT], name: str) -> ObjectT:
        """Return an object that is to be written to.

        Raises:
            NotFound: it does not exist.
        """
        return await self._object(kind, kind.reads(name, self.name, _request_timeout=REQUEST_SECONDS))

    async def merge(self, kind: Writable[ObjectT], name: str, body: Patch) -> ObjectT:
        """Apply a merge patch to an object.

        Its `metadata.uid` and `metadata.resourceVersion` are conditions.

        Raises:
            Conflict: a condition does not hold.
            NotFound: the object does not exist.
        """
        return await self._patch(kind, name, body, "application/merge-patch+json")

    async def edit(self, kind: Writable[ObjectT], name: str, operations: list[Patch]) -> ObjectT:
        """Apply a JSON patch to an object; raises as `merge`.

        A `test` that fails is a refused request.
        """
        return await self._patch(kind, name, operations, "application/json-patch+json")

    async def _patch(self, kind: Writable[ObjectT], name: str, body: Patch | list[Patch], content_type: str) -> ObjectT:
        return await self._object(
            kind,
            kind.patches(
                name,
                self.name,
                body,
                field_manager=FIELD_MANAGER,
                _content_type=content_type,
                _request_timeout=REQUEST_SECONDS,
            ),
        )

    async def _object(self, kind: Writable[ObjectT], call: Awaitable[ClientResponse]) -> ObjectT:
        with self._translated():
            try:
                return kind.object.model_validate_json(await answer(call))
            except ApiException as error:
                if error.status == HTTPStatus.CONFLICT:
                    raise Conflict from None
                if error.status == HTTPStatus.NOT_FOUND:
                    raise NotFound from None
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except API_ERRORS as error:
            if isinstance(error, ApiException) and error.status == HTTPStatus.NOT_FOUND:
                raise RecoveryError(
                    Reason.WORKER_NOT_FOUND,
                    "the API server does not know the kind of one of the workers any more. Install its "
                    "CustomResourceDefinition, or correct workers in the target",
                ) from None
            remedy = forbidden(self.name, self._account)
            raise to_recovery_error(error, forbidden=remedy, refused=Reason.WORKER_WRITE_REFUSED) from None


async def _line(response: ClientResponse) -> bytes:
    """Return the next line of a watch; empty at its end. A list tells what a line is about that is too long."""
    try:
        return await response.content.readline(max_line_length=OBJECT_BYTES)
    except (*CONNECTION_ERRORS, LineTooLong):
        raise Interrupted from None


def _event(line: bytes, kind: Kind[ObjectT]) -> Updated[ObjectT] | Deleted[ObjectT] | Reached:
    with suppress(ValidationError):
        changed = kind.changed.model_validate_json(line)
        return Deleted(changed.object) if changed.type == "DELETED" else Updated(changed.object)
    try:
        return Reached(Bookmark.model_validate_json(line).object.metadata.resource_version)
    except ValidationError:
        # An error, or a line that was cut off.
        raise Interrupted from None
