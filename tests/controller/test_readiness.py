"""`/readyz` of a running operator: whether it can read what it has to."""

import pytest

from sandbox.cluster import Sandbox
from sandbox.processes import until
from tests.controller.link import Link
from tests.controller.replicas import ALONE, IMPATIENT, Replicas


@pytest.mark.thorough
async def test_it_is_unready_while_the_api_server_is_away_and_ready_again_without_a_restart(
    replicas: Replicas,
) -> None:
    """One without a lease; with one, a leader ends, and another takes over."""

    async def warned() -> bool:
        return bool(first.log("Trying again"))

    async with Link.open(replicas.sandbox) as link:
        first = await replicas.start("first", program=IMPATIENT, link=link, environment=ALONE)
        await until(first.ready, "it to be ready", of=first.process)
        await link.close()
        await until(first.unready, "it to be unready", of=first.process)

        async def told() -> bool:
            return "cannot be reached. Trying again" in await first.waits_for()

        await until(told, "/readyz to say what is done about it", of=first.process)
        await until(warned, "that to be logged", of=first.process)
        await link.listen()
        await until(first.ready, "it to be ready again", of=first.process)
        await replicas.recovery("lonely")
        await replicas.taken_up("lonely")
    # That may pass, and that has lasted; once more each where a connection first broke in another way.
    assert 2 <= len(first.log("cannot be reached")) <= 4
    assert first.log("Traceback") == []


async def test_a_namespace_without_the_permissions_is_named_and_does_not_stop_the_others(
    sandbox: Sandbox, replicas: Replicas
) -> None:
    async with sandbox.namespace() as other:
        namespaces = {"QUEUE_RECOVERY_NAMESPACES": f"{replicas.namespace},{other}"}
        first = await replicas.start("first", program=IMPATIENT, environment={**ALONE, **namespaces})
        await replicas.recovery("lonely")
        await replicas.taken_up("lonely")

        async def told() -> bool:
            return "Bind the ClusterRole" in await first.waits_for()

        await until(told, "the missing permission to be named", of=first.process)
        text = await first.waits_for()
        assert f'queuetargets in namespace "{other}"' in text
        assert replicas.namespace not in text
        assert len(first.log("does not grant access yet")) == 1
        await sandbox.kubectl(
            *("-n", other, "create", "rolebinding", "first", "--clusterrole=cluster-admin"),
            f"--serviceaccount={replicas.namespace}:first",
        )
        await until(first.ready, "it to be ready", of=first.process)
