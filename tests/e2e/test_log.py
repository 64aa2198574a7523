"""What `kubectl logs` tells of a recovery."""

import json
import re
from collections import Counter

from sandbox.processes import ROOT, until
from tests import readme
from tests.e2e.team import Team, envelope

NOW, BEFORE = re.findall("^    (kubectl logs .*)", (ROOT / "docs" / "diagnose.md").read_text(), re.MULTILINE)


async def run(team: Team, command: str) -> tuple[int, str]:
    """Return the exit code of a command, and what it writes."""
    cluster = team.sandbox
    return await readme.run(command, kubeconfig=cluster.kubeconfig, kubectl=cluster.kubectl_program)


async def lines(team: Team) -> list[dict[str, str]]:
    """Return the lines about the team's recovery, as the command of `docs/diagnose.md` finds them."""
    _, written = await run(team, NOW)
    entries = [json.loads(line) for line in written.splitlines()]
    return [entry for entry in entries if entry.get("namespace") == team.namespace]


async def test_a_recovery_has_one_line_with_its_fields_for_each_step(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    await team.recovery(jobs=[{"id": await team.failed_job(task_id="t")}])
    await team.reached("Succeeded")

    async def ended() -> bool:
        return any(line.get("phase") == "Succeeded" for line in await lines(team))

    await until(ended, "the line of its end")
    written = [line for line in await lines(team) if line["severity"] != "debug"]
    assert [(line["recovery"], line["phase"], line["reason"]) for line in written] == [
        ("stuck", "Planning", "Planned"),
        ("stuck", "Draining", "Draining"),
        ("stuck", "Purging", "Purging"),
        ("stuck", "Restarting", "Restarting"),
        ("stuck", "Reenqueuing", "Reenqueuing"),
        ("stuck", "Succeeded", "Completed"),
    ]
    kubectl, _, grep = BEFORE.partition(" | ")
    assert "--previous" in kubectl
    assert NOW.endswith(grep)
    code, written_before = await run(team, kubectl)
    assert code == 0, written_before
    assert await team.told("Completed") == [line["reason"] for line in written]
    assert max(Counter(line["message"] for line in written).values()) == 1
    assert {name for line in written for name in line} == {
        *("timestamp", "severity", "message", "namespace", "recovery", "phase", "reason")
    }
