"""`/readyz` of a running operator: whether it can read what it has to."""

from queue_recovery.controller.api_server import GRACE
from sandbox.cluster import Sandbox
from sandbox.processes import until
from tests.controller.replicas import Link, Replicas

LONG = GRACE + 30
ALONE = {"QUEUE_RECOVERY_LEASE_SECONDS": "0"}


async def test_it_is_unready_while_the_api_server_is_away_and_ready_again_without_a_restart(
    replicas: Replicas,
) -> None:
    """One without a lease; with one, a leader ends, and another takes over."""

    async def warned() -> bool:
        return bool(first.log("Trying again"))

    async with Link.open(replicas.sandbox) as link:
        first = await replicas.start("first", link=link, environment=ALONE)
        await until(first.ready, "it to be ready", of=first.process)
        await link.close()
        assert await first.ready()  # for a moment it does not matter
        await until(first.unready, "it to be unready", seconds=LONG, of=first.process)

        async def told() -> bool:
            return "cannot be reached. Trying again" in await first.waits_for()

        await until(told, "/readyz to say what is done about it", seconds=LONG, of=first.process)
        await until(warned, "that to be logged", of=first.process)
        await link.listen()
        await until(first.ready, "it to be ready again", of=first.process)
        await replicas.recovery("lonely")
        await until(lambda: replicas.phase("lonely"), "it to take the recovery up")
    # That may pass, and that has lasted; once more each where a connection first broke in another way.
    assert 2 <= len(first.log("cannot be reached")) <= 4
    assert first.log("Traceback") == []


async def test_a_namespace_without_the_rights_is_named_and_does_not_stop_the_others(
    sandbox: Sandbox, replicas: Replicas
) -> None:
    async with sandbox.namespace() as other:
        namespaces = {"QUEUE_RECOVERY_NAMESPACES": f"{replicas.namespace},{other}"}
        first = await replicas.start("first", environment=namespaces)
        await replicas.led_by(first)
        await replicas.recovery("lonely")
        await until(lambda: replicas.phase("lonely"), "it to take the recovery up")

        async def told() -> bool:
            return "Bind the ClusterRole" in await first.waits_for()

        await until(told, "the missing permission to be named", seconds=LONG, of=first.process)
        text = await first.waits_for()
        assert f'queuetargets in namespace "{other}"' in text
        assert replicas.namespace not in text
        assert len(first.log("does not grant access yet")) == 1
        await sandbox.kubectl(
            *("-n", other, "create", "rolebinding", "first", "--clusterrole=cluster-admin"),
            f"--serviceaccount={replicas.namespace}:first",
        )
        await until(first.ready, "it to be ready", of=first.process)
