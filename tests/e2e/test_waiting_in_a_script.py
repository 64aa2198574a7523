"""A script waits for the end of a recovery, by the commands of `docs/operate.md`."""

import pytest

from tests import readme
from tests.e2e.team import Team

COMMANDS = readme.commands("Waiting in a script", "docs/operate.md")
FINISHED, SHOW, SUCCEEDED, FAIL_FAST = COMMANDS


async def run(team: Team, command: str) -> tuple[int, str]:
    cluster = team.sandbox
    mine = command.replace("-n media", f"-n {team.namespace}").replace("tts-wrong-shape", "stuck")
    return await readme.run(mine, kubeconfig=cluster.kubeconfig, kubectl=cluster.kubectl_program)


@pytest.mark.parametrize(
    ("ending", "spec"), [("Succeeded", {}), ("Failed", {"queue": "nowhere"}), ("Cancelled", {"cancel": True})]
)
async def test_every_ending_can_be_waited_for(team: Team, ending: str, spec: dict[str, object]) -> None:
    await team.workers()
    await team.target()
    await team.recovery(jobs=[{"id": await team.failed_job()}], **spec)

    code, said = await run(team, FINISHED)

    assert code == 0, said
    assert (await run(team, SHOW))[1].startswith(f"{ending}: ")
    code, said = await run(team, FAIL_FAST)
    assert (code == 0) == (ending == "Succeeded"), said
    code, said = await run(team, SUCCEEDED.replace("=1h", "=1s"))
    met = (0, "queuerecovery.queuerecovery.dev/stuck condition met\n")
    assert (code, said) == met if ending == "Succeeded" else (code, "timed out" in said) == (1, True)
