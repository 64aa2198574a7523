"""The operator's own token: projected, and over after ten minutes."""

from datetime import UTC, datetime

import pytest

from tests.node import operator
from tests.node.cluster import Cluster
from tests.node.conftest import ShortTokens

pytestmark = pytest.mark.own_node


async def test_a_recovery_ends_well_under_a_process_whose_first_token_is_over(
    cluster: Cluster, short_tokens: ShortTokens
) -> None:
    """The other tests fill the ten minutes; what is left of them has to pass."""
    over = short_tokens.granted.timestamp() + operator.TOKEN_SECONDS

    async def is_over() -> bool:
        return datetime.now(UTC).timestamp() > over

    await cluster.until(is_over, "the first token to be over", seconds=operator.TOKEN_SECONDS)
    leader = await operator.leader(cluster)
    [container] = (await cluster.read("pod", leader, "-n", operator.NAMESPACE))["status"]["containerStatuses"]
    started = datetime.fromisoformat(container["state"]["running"]["startedAt"])
    assert started.timestamp() + operator.TOKEN_SECONDS < datetime.now(UTC).timestamp(), "the process is too young"

    team = short_tokens.team
    await team.kubectl("patch", "qr", "held", "--type=merge", "-p", '{"spec":{"suspend":false}}')

    await team.reached("held", "Succeeded")
    await team.done(*short_tokens.jobs)
    await team.ran_once(*short_tokens.jobs)
