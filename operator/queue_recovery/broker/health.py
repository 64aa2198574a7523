"""Whether a server can be worked with: its kind, its role, and what its ACL grants."""

from collections.abc import Mapping, Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.client import Client
from queue_recovery.broker.failures import is_cluster, of_text, permission_denied
from queue_recovery.broker.scripts import Script, run_script
from queue_recovery.recovery.errors import NotYet
from queue_recovery.recovery.ports import BrokerHealth

_ORDERS = ("lfu", "lrm", "lru", "random")
_POLICIES = frozenset(
    ["noeviction", "volatile-ttl", *(f"{keys}-{order}" for keys in ("allkeys", "volatile") for order in _ORDERS)]
)
"""Values of `maxmemory-policy` that a message may name."""


async def check_server(client: Client) -> BrokerHealth:
    """Find out whether the server is a primary, and no cluster's.

    Raises:
        NotYet: `BrokerIsCluster`, `InvalidBrokerURL`.
        Unavailable: `BrokerUnavailable`, `BrokerAuthenticationFailed`, `BrokerReadOnly`, `BrokerPermissionDenied`.
    """
    await client.ping()
    info: Mapping[str, str] = await client.info() or {}
    if info.get("redis_mode") == "sentinel":
        raise NotYet(
            Reason.INVALID_BROKER_URL,
            "the URL leads to a Sentinel; begin it with sentinel://, and set transportOptions.masterName in the target",
        )
    if info.get("cluster_enabled") == "1":
        raise is_cluster()
    if info.get("role") == "slave":
        raise of_text("READONLY")
    policy = info.get("maxmemory_policy")
    return BrokerHealth(eviction_policy=policy if policy is None or policy in _POLICIES else "unknown")


async def check_permissions(client: Client, keys: Sequence[str]) -> None:
    """Find out whether the user may run every command that a recovery needs, on these keys.

    Raises:
        Unavailable: `BrokerPermissionDenied` naming a command, `BrokerReadOnly`.
    """
    answer = await run_script(client, Script.PERMISSIONS, [client.own.probe, *keys], [])
    if answer[:1] == [b"WRITES"]:
        raise of_text(answer[1].decode(errors="replace"))
    if answer:
        raise permission_denied(*(word.decode(errors="replace") for word in answer))
