"""Run the demo: exit code 0 if all its statements are true, 1 if not, 130 after Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

from rich.console import Console

from demo import comparison, recovery, story
from demo.application import Application, application_url
from demo.context import NAMESPACE, Context
from demo.facts import FactError, Facts
from demo.narrate import Narrator
from demo.terminal import CommandError, Terminal
from sandbox.cluster import Sandbox
from sandbox.processes import DeadlineError
from sandbox.toolchain import GoError

_INTERRUPTED = 130
_FAILURES = (FactError, CommandError, DeadlineError)


async def tell(narrator: Narrator) -> None:
    """Start a sandbox, tell the whole story in it, and stop it."""
    began = time.monotonic()
    async with Sandbox.start() as sandbox:
        broker, store = await asyncio.gather(sandbox.start_broker(), sandbox.start_job_store(authentication=True))
        narrator.say(
            f"A Kubernetes API, a {broker.flavour} server and a job store: up after {time.monotonic() - began:.1f} s."
        )
        terminal = Terminal(narrator, sandbox, broker, NAMESPACE)
        mongo_url = await application_url(store)
        async with Application.connect(mongo_url, broker.url) as application:
            context = Context(narrator, terminal, Facts(narrator), application)
            try:
                await _story(context, broker.url, mongo_url)
            except Exception:
                await _show_operator_log(terminal)
                raise
    narrator.say(f"All of it took {time.monotonic() - began:.0f} s, and everything it started has ended.")


async def _story(context: Context, redis_url: str, mongo_url: str) -> None:
    await story.install(context, redis_url, mongo_url)
    jobs = await story.poison(context)
    await story.reset_one(context, jobs, redis_url)
    await story.delete_the_queue(context)
    await story.restart(context, jobs)
    await story.fix(context, jobs)
    before = await recovery.Before.look(context, jobs)
    operator = await recovery.recover(context)
    await recovery.prove_recovered(context, before)
    hand = await comparison.by_hand(context)
    comparison.compare(context, operator=operator, hand=hand)
    await recovery.prove_mails(context)
    context.narrator.say("The jobs of the recovery, once more:")
    await recovery.prove_once(context, before)


async def _show_operator_log(terminal: Terminal) -> None:
    try:
        operators = f"-n {story.OPERATOR_NAMESPACE} --selector app.kubernetes.io/name=queue-recovery"
        await terminal.run(f"kubectl logs {operators} --prefix --tail 40")
    except (CommandError, DeadlineError):
        return


def main() -> int:
    """Run the demo and return its exit code."""
    narrator = Narrator(Console())
    # Even if the parent process ignores Ctrl-C, as shells do for background processes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        asyncio.run(tell(narrator))
    except KeyboardInterrupt:
        narrator.failure("interrupted; everything that the demo started has ended")
        return _INTERRUPTED
    except (*_FAILURES, GoError) as error:
        narrator.failure(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
