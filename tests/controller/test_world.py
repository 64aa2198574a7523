"""What recoveries see of their surroundings."""

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.controller.shared import Shared
from queue_recovery.controller.world import KubernetesWorld
from queue_recovery.recovery.admission import Admission
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.permissions import ServiceAccount


@pytest.mark.parametrize(
    "name", ["", "media", "../.", "../..", "./.", "media/..", "media/a/b", "media/a?x", "media/a\n"]
)
async def test_what_is_no_name_of_a_recovery_is_not_looked_for(name: str) -> None:
    """It stands where anybody may write, and would be a part of the request's path."""
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as unreachable:
        shared = Shared(Connections.all_by(unreachable), "media", ServiceAccount())
        world = KubernetesWorld(unreachable, shared, cluster="", admission=Admission(1))

        assert await world.exists(name, "a-uid") is None
