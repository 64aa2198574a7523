"""A small client of the Kubernetes API for the sandbox itself: JSON in, JSON out, and a way to follow a list."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import aiohttp
import yaml

from sandbox.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

Json = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_GONE: Final = 410
_LATER: Final = frozenset({429, 503})
"""Answers of a server that is not ready yet, for example while it creates the storage of a new kind."""
_ERROR: Final = 400
_LONGEST_LINE_BYTES: Final = 16 * 2**20
_REQUEST: Final = aiohttp.ClientTimeout(total=15)


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Access:
    """The address and credentials with which one identity reaches the API server."""

    server: str
    authority: Path
    token: str

    def write_kubeconfig(self, path: Path, *, namespace: str = "default") -> Path:
        """Write this access as a kubeconfig file, readable by this user only, and return its path."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "sandbox",
            "clusters": [
                {
                    "name": "sandbox",
                    "cluster": {"server": self.server, "certificate-authority": str(self.authority)},
                }
            ],
            "users": [{"name": "sandbox", "user": {"token": self.token}}],
            "contexts": [
                {"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}}
            ],
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    @classmethod
    def read_kubeconfig(cls, path: Path) -> Self:
        """Read a file that `write_kubeconfig` wrote."""
        content = yaml.safe_load(path.read_text())
        cluster = content["clusters"][0]["cluster"]
        return cls(cluster["server"], Path(cluster["certificate-authority"]), content["users"][0]["user"]["token"])


class Api:
    """A connection to the API server; an async context manager."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._session = aiohttp.ClientSession(
            base_url=access.server,
            headers={"Authorization": f"Bearer {access.token}"},
            connector=aiohttp.TCPConnector(
                ssl=ssl.create_default_context(cafile=access.authority), limit=0, keepalive_timeout=60
            ),
            read_bufsize=_LONGEST_LINE_BYTES,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> Json:
        """Read one object or list.

        Raises:
            ApiError: the server refused.
            aiohttp.ClientError: the server could not be reached.
        """
        return await self._request("GET", path)

    async def create(self, path: str, body: Json) -> Json:
        """Create an object; raises as `get` does."""
        return await self._request("POST", path, body)

    async def patch(self, path: str, body: Json, kind: str = MERGE_PATCH) -> Json:
        """Patch an object with a patch of the given media type; raises as `get` does."""
        return await self._request("PATCH", path, body, kind)

    async def delete(self, path: str, options: Json) -> Json:
        """Delete an object with `DeleteOptions`; raises as `get` does."""
        return await self._request("DELETE", path, options)

    async def ready(self) -> bool:
        """Tell whether the server can be reached and reports that it is ready."""
        try:
            async with self._session.get("/readyz") as response:
                return response.ok
        except (aiohttp.ClientError, ConnectionError):
            return False

    async def follow(self, path: str) -> AsyncIterator[tuple[EventType, Json]]:
        """List a collection, then report each change indefinitely, even after an interrupted watch.

        An object may be reported again unchanged. One that was deleted while the watch was interrupted is reported as
        DELETED in the state last seen.
        """
        known: dict[str, Json] = {}
        while True:
            listed = await insist(lambda: self.get(path))
            assert listed is not None, f"there is no {path} to follow"
            present = {item["metadata"]["uid"] for item in listed["items"]}
            for uid in known.keys() - present:
                yield "DELETED", known.pop(uid)
            for item in listed["items"]:
                known[item["metadata"]["uid"]] = item
                yield "ADDED", item
            async for kind, item in self._watch(path, listed["metadata"]["resourceVersion"]):
                if kind == "DELETED":
                    known.pop(item["metadata"]["uid"], None)
                else:
                    known[item["metadata"]["uid"]] = item
                yield kind, item

    async def states_since(self, path: str, version: str) -> list[Json]:
        """Return each state that the objects of a collection had after a version, in order.

        The server remembers the last minutes.
        """
        states: list[Json] = []
        params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}
        async with self._session.get(path, params=params) as response:
            await _raise_for(response)
            async for line in response.content:
                event = json.loads(line)
                if event["type"] != "DELETED":
                    states.append(event["object"])
        return states

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[EventType, Json]]:
        try:
            async with self._session.get(
                path,
                params={"watch": "true", "resourceVersion": version},
                timeout=aiohttp.ClientTimeout(total=None),
            ) as response:
                if response.status == _GONE:
                    return
                await _raise_for(response)
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, asyncio.IncompleteReadError):
            return

    async def _request(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        async with self._session.request(
            method,
            path,
            data=None if body is None else json.dumps(body, ensure_ascii=False),
            headers={"Content-Type": kind},
            timeout=_REQUEST,
        ) as response:
            await _raise_for(response)
            answer: Json = await response.json()
            return answer


async def insist(request: Callable[[], Awaitable[Json]]) -> Json | None:
    """Repeat a request until the server can be reached and is ready.

    Returns:
        The answer, or None if the object is gone or another one has its name now.

    Raises:
        ApiError: the server refused the request for another reason.
    """

    async def answer() -> list[Json]:
        try:
            return [await request()]
        except ApiError as error:
            if error.status in {_NOT_FOUND, _CONFLICT}:
                return [{}]
            if error.status in _LATER:
                return []
            raise
        except (aiohttp.ClientError, OSError):
            return []

    return (await until(answer, "the API server to answer", seconds=None))[0] or None


async def _raise_for(response: aiohttp.ClientResponse) -> None:
    if response.status >= _ERROR:
        raise ApiError(response.status, await response.text())
