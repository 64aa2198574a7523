"""kopf's requests, as a scripted API server receives and answers them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.base import API_VERSION, GROUP
from queue_recovery.controller import kopf_session
from queue_recovery.controller.kopf_session import open_session
from queue_recovery.controller.watches import Watches
from sandbox.certificates import Authority
from sandbox.processes import until

LIST = f"/apis/{API_VERSION}/queuerecoveries"
WATCHES = [f"{LIST}?watch=true", f"/apis/{API_VERSION}/queuetargets?watch=true"]
ONE = f"/apis/{API_VERSION}/namespaces/media/queuerecoveries/lonely"
CUT = -1
"""The connection is closed instead of an answer."""
HUNG = -2
"""There is no answer while the server runs."""

Answer = tuple[int, Any]


@dataclass
class Server:
    """Gives its answers one after the other; the last one stays."""

    answers: Sequence[Answer] = ((200, {}),)
    asked: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    ends: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        self.tokens.append(request.headers.get("Authorization"))
        status, body = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if status == CUT:
            assert request.transport is not None
            request.transport.close()
        if status == HUNG:
            await self.ends.wait()
        return web.json_response(body, status=abs(status))


@dataclass
class Connection:
    """kopf's session, and what it needs."""

    server: Server
    watches: Watches
    configuration: Configuration
    session: aiohttp.ClientSession

    async def get(self, path: str) -> Answer:
        async with self.session.get(f"{self.configuration.host}{path}") as response:
            return response.status, await response.json()


@asynccontextmanager
async def connected(
    server: Server, base: str = "", *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, **more: str
) -> AsyncIterator[Connection]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=tls).start()
    url = f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}{base}"
    configuration = Configuration(host=url, **more)  # type: ignore[arg-type]  # all that tests give are texts
    watches = Watches([])
    async with ApiClient(configuration) as api:
        login = open_session(api, watches)
        assert login.server == configuration.host
        async with login.aiohttp_session as session:
            yield Connection(server, watches, configuration, session)
    server.ends.set()
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf_session, "_PAUSES", (0.001,))


@pytest_asyncio.fixture(loop_scope="session")
async def connection() -> AsyncIterator[Connection]:
    async with connected(Server()) as made:
        yield made


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, CUT])
@pytest.mark.parametrize("path", [LIST, WATCHES[0]])
async def test_a_list_or_watch_is_answered_once_it_succeeds(connection: Connection, status: int, path: str) -> None:
    connection.server.answers = [(status, {}), (status, {}), (200, {"items": []})]
    assert await connection.get(path) == (200, {"items": []})
    assert connection.server.asked == [f"GET {path}"] * 3


@pytest.mark.parametrize("base", ["", "/k8s/clusters/c-1"])
async def test_it_is_ready_when_the_watches_of_both_are_answered(base: str) -> None:
    async with connected(Server(), base) as connection:
        await connection.get(LIST)
        assert connection.watches.waits_for()
        for path in WATCHES:
            assert connection.watches.waits_for()
            await connection.get(path)
        assert connection.watches.waits_for() == ""


@pytest.mark.parametrize(
    ("path", "without", "complete"),
    [
        (
            "/apis",
            [{"groups": []}, {"groups": [{"name": "apps"}]}],
            {"groups": [{"name": "apps"}, {"name": GROUP}]},
        ),
        (
            f"/apis/{API_VERSION}",
            [{"resources": []}, {"resources": [{"name": "queuerecoveries"}]}],
            {"resources": [{"name": "queuetargets"}, {"name": "queuerecoveries"}]},
        ),
    ],
)
async def test_kopf_learns_of_the_resources_once_both_are_served(
    connection: Connection, path: str, without: list[Any], complete: dict[str, Any]
) -> None:
    connection.server.answers = [*((200, body) for body in without), (200, complete)]
    assert await connection.get(path) == (200, complete)
    assert "does not serve them yet" in connection.watches.waits_for()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", ONE, 403),
        ("PATCH", ONE, 404),
        ("PATCH", ONE, 422),
        ("GET", "/apis/kopf.dev/v1", 404),  # a group that nobody needs
        ("GET", LIST, 410),  # the rest of a list that is too old: it has to begin again
    ],
)
async def test_what_kopf_itself_handles_is_passed_on(
    connection: Connection, method: str, path: str, status: int
) -> None:
    connection.server.answers = [(status, {})]
    async with connection.session.request(method, f"{connection.configuration.host}{path}") as response:
        assert response.status == status
    assert len(connection.server.asked) == 1


async def test_a_watch_that_is_refused_as_too_old_is_not_up(connection: Connection) -> None:
    connection.server.answers = [(410, {})]
    for path in WATCHES:
        assert (await connection.get(path))[0] == 410
    assert connection.watches.waits_for() == "waiting for the list of queuerecoveries, queuetargets"


async def test_a_patch_whose_token_is_refused_is_sent_again(connection: Connection) -> None:
    connection.server.answers = [(401, {}), (200, {})]
    async with connection.session.patch(f"{connection.configuration.host}{ONE}", json={"a": 1}) as response:
        assert response.status == 200


async def test_a_patch_that_is_not_answered_is_left_to_kopf(connection: Connection) -> None:
    connection.server.answers = [(CUT, {})]
    with pytest.raises(aiohttp.ClientConnectionError):
        await connection.session.patch(f"{connection.configuration.host}{ONE}")


async def test_each_try_has_the_newest_token(connection: Connection) -> None:
    tokens = iter(["old", "new", "newer"])

    def renew(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = f"Bearer {next(tokens)}"

    connection.configuration.refresh_api_key_hook = renew  # type: ignore[assignment]  # the library types it as None
    connection.server.answers = [(401, {}), (200, {})]
    await connection.get(LIST)
    await connection.get(LIST)
    assert connection.server.tokens == ["Bearer old", "Bearer new", "Bearer newer"]


async def test_the_name_in_the_servers_certificate_is_the_configured_one(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")
    server = authority.issue("kube-apiserver")  # for localhost, not for the address below
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(server.certificate, server.key)
    chosen = {"ssl_ca_cert": str(authority.path), "tls_server_name": "localhost"}
    async with connected(Server(), host="127.0.0.2", tls=tls, **chosen) as connection:
        assert await connection.get(LIST) == (200, {})


async def test_a_read_that_hangs_is_tried_again(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf_session, "_ATTEMPT_SECONDS", 0.2)
    connection.server.answers = [(HUNG, {}), (200, {})]
    assert await connection.get(LIST) == (200, {})
    assert "does not answer in time" in connection.watches.waits_for()


async def test_a_read_that_waits_is_left_to_kopfs_next_session_when_this_one_is_closed(connection: Connection) -> None:
    connection.server.answers = [(503, {})]
    read = asyncio.ensure_future(connection.get(LIST))

    async def tried_again() -> bool:
        return len(connection.server.asked) > 1

    await until(tried_again, "another try")
    await connection.session.close()
    with pytest.raises(RuntimeError, match="Session is closed"):
        await read
