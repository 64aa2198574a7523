"""The operator's process: its settings and log, the election, and kopf while it leads."""

import asyncio
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
from queue_recovery.controller.look_ups import Threads
from queue_recovery.controller.operator import Operator
from queue_recovery.controller.settings import Settings
from queue_recovery.recovery.wording import named

_LOG = logging.getLogger(__name__)
_LAST_EVENTS = 2.0
"""Seconds for posting the last events."""


def main() -> None:
    """Run until SIGTERM or SIGINT.

    Exits with code 2 and one line when a setting is wrong or no cluster is configured.
    """
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
    try:
        asyncio.run(_operate(settings))
    except api_server.NoApiServer as error:
        command_line.refuse(str(error))


async def _operate(settings: Settings) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_default_executor(Threads(loop))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)  # kopf replaces them with its own once it runs
    async with api_server.connections() as connections, election(settings) as part:
        where = f"in {named(settings.namespaces)}" if settings.namespaces else "in all namespaces"
        _LOG.info("%s starts and recovers queues %s", command_line.program_and_version(), where)
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
    """Recover queues until told to stop, then leave the election."""
    operator.metrics.leader.set(1)
    posting = asyncio.ensure_future(operator.events.run())

    async def stopped() -> None:
        await operator.aclose()
        await operator.events.flush(_LAST_EVENTS)
        operator.metrics.leader.set(0)
        part.leave()
        stop.set()  # kopf, stopped by its own signal handler, waits 5 s for its task that waits for this flag

    try:
        await kopf.operator(
            registry=handlers.registry(operator, stopped=stopped),
            settings=handlers.settings(),
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            standalone=True,
            identity=cast(Any, settings.pod_name),  # else kopf looks up the user's name, and the image's user has none
            stop_flag=stop,
        )
    finally:
        await operator.aclose()
        posting.cancel()
        with suppress(asyncio.CancelledError):
            await posting
