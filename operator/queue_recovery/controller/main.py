"""Start of the operator: `queue-recovery`."""

import asyncio
import gc
import logging
import signal
import sys
from contextlib import suppress
from typing import Any, cast

import kopf
from pydantic import ValidationError

from queue_recovery.controller import api_server, command_line, handlers, logs
from queue_recovery.controller.election import Election, Unopposed, election
from queue_recovery.controller.http import serve
from queue_recovery.controller.operator import Operator
from queue_recovery.controller.settings import Settings

_LOG = logging.getLogger(__name__)
_LAST_EVENTS = 2.0
"""Seconds that the last events may take to be posted."""


def main() -> None:
    """Run until SIGTERM or SIGINT; exits with 2 and one line when a setting is wrong or there is no cluster."""
    command_line.parse(sys.argv[1:])
    try:
        settings = Settings()
    except ValidationError as error:
        command_line.refuse(
            *(
                f"QUEUE_RECOVERY_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False)
            )
        )
    logs.configure(settings.log_format, settings.log_level)
    # What the modules consist of stays anyway. Uncounted, it no longer lets garbage grow to a quarter of its size
    # before the collector looks for cycles.
    gc.freeze()
    try:
        asyncio.run(_operate(settings))
    except api_server.NoApiServer as error:
        command_line.refuse(str(error))


async def _operate(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)  # kopf puts its own there once it runs
    async with api_server.connections() as connections, election(settings) as part:
        where = ", ".join(settings.namespaces) or "all namespaces"
        _LOG.info("%s starts: it recovers queues in %s", command_line.program_and_version(), where)
        operator = Operator(connections, settings, instance=settings.pod_name)

        def waits_for() -> str:
            return operator.watches.waits_for() if part.won.is_set() else part.waits_for()

        async with (
            serve(settings.http_host, settings.http_port, metrics=operator.metrics, waits_for=waits_for),
            part.taking_part(),
        ):
            if await _first(part.won, stop) is part.won:
                await _lead(operator, settings, part, stop)
    _LOG.info("stopped")


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """Return the first of the events that is set."""
    waiting = {asyncio.ensure_future(event.wait()): event for event in events}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return waiting[done.pop()]


async def _lead(operator: Operator, settings: Settings, part: Election | Unopposed, stop: asyncio.Event) -> None:
    """Do all the work until told to stop, and leave the election when nothing is running any more."""
    operator.metrics.leader.set(1)
    posting = asyncio.ensure_future(operator.events.run())

    async def stopped() -> None:
        await operator.aclose()
        await operator.events.flush(_LAST_EVENTS)
        operator.metrics.leader.set(0)
        part.leave()
        stop.set()  # kopf, stopped by its own signal handler, waits 5 s for its task that waits for this

    try:
        await kopf.operator(
            registry=handlers.registry(operator, stopped=stopped),
            settings=handlers.settings(),
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            standalone=True,
            identity=cast(Any, settings.pod_name),  # else kopf asks for the user's name, and the image's has none
            stop_flag=stop,
        )
    finally:
        await operator.aclose()
        posting.cancel()
        with suppress(asyncio.CancelledError):
            await posting
