"""Metrics and health on one port."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from queue_recovery.controller.metrics import Metrics


@asynccontextmanager
async def serve(host: str | None, port: int, *, metrics: Metrics, waits_for: Callable[[], str]) -> AsyncIterator[None]:
    """Serve `/metrics`, `/healthz` and `/readyz` while the block runs.

    `/healthz` shows that the event loop runs. `waits_for` returns in one line, without a secret, why the process is not
    ready; empty: it is.
    """

    async def page(_request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=await metrics.page(), headers=headers)

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        missing = waits_for()
        return web.Response(text=f"{missing}\n", status=503) if missing else web.Response(text="ok\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", page), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
