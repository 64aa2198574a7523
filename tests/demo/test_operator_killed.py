"""The demo's recovery while its operator is killed."""

import asyncio
from collections.abc import Sequence
from signal import SIGKILL

from redis.asyncio import Redis
from rich.console import Console

from demo import recovery, story
from demo.application import Application, application_url
from demo.context import NAMESPACE, Context
from demo.facts import Facts
from demo.narrate import Narrator
from demo.terminal import Terminal
from sandbox.api import Api
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.job_store import JobStore

RECOVERIES = f"/apis/queuerecovery.dev/v1alpha1/namespaces/{NAMESPACE}/queuerecoveries"
OPERATOR = f"kubectl --namespace {story.OPERATOR_NAMESPACE}"
PHASES = ["Draining", "Purging", "Reenqueuing"]
FOREIGN = 20_000
"""Entries of another queue in `unacked`: reading them takes long enough to kill the operator meanwhile."""


async def test_an_operator_that_is_killed_in_phase_after_phase_runs_every_job_once() -> None:
    narrator = Narrator(Console())
    async with Sandbox.start() as sandbox:
        broker, store = await sandbox.start_broker(), await sandbox.start_job_store(authentication=True)
        mongo_url = await application_url(store)
        terminal = Terminal(narrator, sandbox, broker, NAMESPACE)
        async with Application.connect(mongo_url, broker.url) as application:
            context = Context(narrator, terminal, Facts(narrator), application)
            await story.install(context, broker.url, mongo_url)
            await terminal.ask(f"{OPERATOR} set env deployment/queue-recovery QUEUE_RECOVERY_LEASE_SECONDS=4")
            await terminal.ask(f"{OPERATOR} rollout status deployment/queue-recovery")
            async with Redis.from_url(broker.url) as redis:
                await redis.hset("unacked", mapping={f"foreign-{n}": '[{}, "", "foreign"]' for n in range(FOREIGN)})
            before = await recovery.Before.look(context, await story.poison(context))
            killing = asyncio.create_task(kill_in_all(PHASES, sandbox, broker, store))
            await recovery.recover(context)
            assert await killing == PHASES
            await recovery.prove_recovered(context, before)
            await recovery.prove_mails(context)


async def kill_in_all(phases: Sequence[str], sandbox: Sandbox, broker: Broker, store: JobStore) -> list[str]:
    """Kill the leading operator once in each phase; return the phases that the recovery then had."""
    return [await kill_in(phase, sandbox, broker, store) for phase in phases]


async def kill_in(phase: str, sandbox: Sandbox, broker: Broker, store: JobStore) -> str:
    """Kill the operator as soon as the recovery is in a phase; return the phase after the kill."""
    lease = ("get", "lease", "queue-recovery", f"--namespace={story.OPERATOR_NAMESPACE}")
    async with Api(sandbox.control_plane.admin) as api:
        async for _, seen in api.follow(RECOVERIES):
            now = seen.get("status", {}).get("phase")
            if now == phase:
                break
            if (now, phase) == ("Restarting", "Reenqueuing"):
                store.pause()  # enqueuing three jobs would be over too soon otherwise
        # While neither server answers, the operator cannot finish its phase before it is killed.
        broker.pause()
        store.pause()
        leader = (await sandbox.kubectl(*lease, "--output=jsonpath={.spec.holderIdentity}")).partition("_")[0]
        await sandbox.signal_container(story.OPERATOR_NAMESPACE, leader, "operator", SIGKILL)
        broker.resume()
        store.resume()
        left = await api.get(f"{RECOVERIES}/{recovery.NAME}")
    return str(left["status"]["phase"])
