"""The demo's recovery, while its operator is killed."""

import asyncio
from signal import SIGKILL

from pymongo import AsyncMongoClient
from rich.console import Console

from demo import recovery, story
from demo.application import Application
from demo.facts import Facts
from demo.narrate import Narrator
from demo.scene import NAMESPACE, Scene
from demo.terminal import Terminal
from sandbox.api import Api
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.job_store import JobStore

RECOVERIES = f"/apis/queuerecovery.dev/v1alpha1/namespaces/{NAMESPACE}/queuerecoveries"


async def test_whenever_the_operator_is_killed_every_job_runs_once() -> None:
    narrator = Narrator(Console())
    async with Sandbox.start() as sandbox:
        broker, store = await sandbox.start_broker(), await sandbox.start_job_store()
        terminal = Terminal(narrator, sandbox, broker, NAMESPACE)
        async with Application.connect(store.url, broker.url) as application:
            scene = Scene(narrator, terminal, Facts(narrator), application)
            await story.install(scene, broker.url, store.url)
            for phase in ("Draining", "Purging", "Reenqueuing"):
                before = await recovery.Before.look(scene, await story.poison(scene))
                killing = asyncio.create_task(kill_in(phase, sandbox, broker, store))
                await recovery.recover(scene)
                assert await killing == phase
                await recovery.prove_recovered(scene, before)
                await terminal.ask(f"kubectl delete job/submit-release-1 queuerecovery/{recovery.NAME}")
                await forget_jobs(store)
            await recovery.prove_mails(scene)


async def forget_jobs(store: JobStore) -> None:
    """Make room for the same jobs once more."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(store.url)
    async with client:
        await client["app"].jobs.delete_many({})
        await client["app"].executions.delete_many({})


async def kill_in(phase: str, sandbox: Sandbox, broker: Broker, store: JobStore) -> str:
    """Kill the operator as soon as the recovery is in that phase; return in which one it has left the recovery."""
    lease = ("get", "lease", "queue-recovery", f"--namespace={story.OPERATOR_NAMESPACE}")
    leader = (await sandbox.kubectl(*lease, "--output=jsonpath={.spec.holderIdentity}")).partition("_")[0]
    async with Api(sandbox.control_plane.admin) as api:
        async for _, seen in api.follow(RECOVERIES):
            if seen.get("status", {}).get("phase") == phase:
                break
        # While neither answers, the operator cannot get through its phase before it is killed.
        broker.pause()
        store.pause()
        await sandbox.signal_container(story.OPERATOR_NAMESPACE, leader, "operator", SIGKILL)
        broker.resume()
        store.resume()
        left = await api.get(f"{RECOVERIES}/{recovery.NAME}")
    return str(left["status"]["phase"])
