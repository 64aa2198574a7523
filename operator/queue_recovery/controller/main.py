"""Start of the operator: `queue-recovery`."""

import asyncio
import logging
import socket
import sys
from contextlib import suppress

import kopf
from pydantic import ValidationError

from queue_recovery.controller import api_server, handlers, logs
from queue_recovery.controller.http import serve
from queue_recovery.controller.operator import Operator
from queue_recovery.controller.settings import Settings

_LOG = logging.getLogger(__name__)
_LAST_EVENTS = 2.0
"""Seconds that the last events may take to be posted."""


def main() -> None:
    """Run until SIGTERM or SIGINT; exits with 2 and one line when a setting is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"queue-recovery: QUEUE_RECOVERY_{name}: {problem['msg']}\n")
        sys.exit(2)
    logs.configure(settings.log_format, settings.log_level)
    asyncio.run(_operate(settings))


async def _operate(settings: Settings) -> None:
    ready = asyncio.Event()
    api = await api_server.connect()
    operator = Operator(api, settings, instance=socket.gethostname())
    posting = asyncio.ensure_future(operator.events.run())
    try:
        async with serve(settings.http_host, settings.http_port, metrics=operator.metrics, ready=ready.is_set):
            await kopf.operator(
                registry=handlers.registry(operator),
                settings=handlers.settings(),
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                standalone=True,
                ready_flag=ready,
            )
            await operator.events.flush(_LAST_EVENTS)
    finally:
        await operator.targets.aclose()
        posting.cancel()
        with suppress(asyncio.CancelledError):
            await posting
        await api.close()  # type: ignore[no-untyped-call]
    _LOG.info("stopped")
