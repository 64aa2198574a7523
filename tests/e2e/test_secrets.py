"""No piece of a password that is not percent-encoded is shown by an operator that logs all it ever logs."""

import pytest

from sandbox.cluster import Sandbox
from tests.e2e.team import Team

MARK = "wqx"


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ({"redis": f"redis://:9137?{MARK}1={MARK}2@redis"}, "InvalidBrokerURL"),
        ({"redis": f"redis://{MARK}1:9137/0"}, "BrokerUnavailable"),
        ({"mongo": f"mongodb://bob:9137?{MARK}1file={MARK}2@db"}, "InvalidJobStoreURL"),
    ],
)
async def test_no_piece_of_a_url_is_in_a_status_an_event_or_the_log(
    team: Team, operator: Sandbox, secrets: dict[str, str], reason: str
) -> None:
    await team.workers(replicas=1)
    await team.target()
    job = await team.failed_job()
    await team.secrets(**secrets)

    await team.recovery(jobs=[{"id": job}])
    await team.waits(reason)
    await team.told(reason)

    shown = await team.kubectl("get", "queuetargets,queuerecoveries,events", "--output=yaml")
    label = "app.kubernetes.io/name=queue-recovery"
    log = await operator.kubectl("-n", "queue-recovery", "logs", "--selector", label, "--tail=-1")
    assert reason in shown
    assert reason in log
    assert MARK not in shown.lower() + log.lower()
