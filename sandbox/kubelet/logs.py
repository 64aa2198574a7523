"""Serve containers' output to `kubectl logs`, by the API that the API server uses."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sandbox.processes import LOOPBACK, until

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.kubelet.container import Container
    from sandbox.kubelet.node import Node

_NOT_KEPT: Final = ("timestamps", "sinceSeconds", "sinceTime", "limitBytes")


async def serve(node: Node, *, port: int, key: Path, certificate: Path, authority: Path) -> web.AppRunner:
    """Serve logs over TLS to clients with a certificate of the authority.

    Returns:
        The server; `cleanup` ends it.
    """

    async def container_log(request: web.Request) -> web.StreamResponse:
        place = request.match_info
        pod = node.find(place["namespace"], place["pod"])
        container = None if pod is None else pod.container(place["container"])
        if container is None:
            raise web.HTTPNotFound(text=f"container {place['container']} is not running here")
        if any(option in request.query for option in _NOT_KEPT):
            raise web.HTTPBadRequest(
                text="the sandbox's kubelet does not support timestamps and options that need them"
            )
        return await _send(request, container)

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", container_log)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port, ssl_context=context).start()
    return runner


async def _send(request: web.Request, container: Container) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    log = container.log(previous=request.query.get("previous") == "true")
    sent = _start_of_tail(log, request.query.get("tailLines"))

    async def news() -> bytes | None:
        """Return what was not sent yet; `_END` once the log is complete."""
        ended = log != container.log() or "running" not in container.state
        if content := _from(log, sent):
            return content
        return _END if ended else None

    follows = request.query.get("follow") == "true"
    while (content := await until(news, "output", seconds=None) if follows else _from(log, sent)) not in {b"", _END}:
        await response.write(content)
        sent += len(content)
    await response.write_eof()
    return response


_END: Final = b"\0end of log"


def _from(log: Path, offset: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read(2**20)
    except FileNotFoundError:
        return b""


def _start_of_tail(log: Path, lines: str | None) -> int:
    if lines is None or not log.exists():
        return 0
    content = log.read_bytes()
    wanted = content.splitlines(keepends=True)[-int(lines) :] if int(lines) else []
    return len(content) - sum(map(len, wanted))
