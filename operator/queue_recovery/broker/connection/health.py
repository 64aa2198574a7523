"""Whether a server can be worked with: its kind, its role, what its ACL grants, and who waits for messages there."""

import asyncio
from collections.abc import Mapping, Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.connection.failures import from_error_text, is_cluster, permission_denied
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import BrokerHealth, Consumer

_AT_ONCE = 200
"""Connections that are parsed between two turns of the event loop."""

_ORDERS = ("lfu", "lrm", "lru", "random")
_POLICIES = frozenset(
    ["noeviction", "volatile-ttl", *(f"{keys}-{order}" for keys in ("allkeys", "volatile") for order in _ORDERS)]
)
"""Values of `maxmemory-policy` that a message may name."""


_MOST_DIGITS = 12


async def check_server(client: Client) -> BrokerHealth:
    """Check that the server is a primary, and no node of a Redis Cluster.

    Raises:
        RecoveryError: `BrokerIsCluster`, `InvalidBrokerURL`, `BrokerUnavailable`, `BrokerAuthenticationFailed`,
            `BrokerReadOnly`, `BrokerPermissionDenied`.
    """
    await client.ping()
    info: Mapping[str, str] = await client.info() or {}
    if info.get("redis_mode") == "sentinel":
        raise RecoveryError(
            Reason.INVALID_BROKER_URL,
            "the URL leads to a Sentinel; begin it with sentinel://, and set transportOptions.masterName in the target",
        )
    if info.get("cluster_enabled") == "1":
        raise is_cluster()
    if info.get("role") == "slave":
        raise from_error_text("READONLY")
    policy = info.get("maxmemory_policy")
    uptime = info.get("uptime_in_seconds", "")
    return BrokerHealth(
        eviction_policy=policy if policy is None or policy in _POLICIES else "unknown",
        uptime_seconds=int(uptime) if uptime.isdecimal() and len(uptime) < _MOST_DIGITS else None,
    )


async def check_permissions(client: Client, probe: str, keys: Sequence[str]) -> None:
    """Check that the user may run every command that a recovery needs, on these keys.

    Commands that write are tried on the key `probe`, which exists no longer than the script.

    Raises:
        RecoveryError: `BrokerPermissionDenied` naming a command, `BrokerReadOnly`.
    """
    answer = await client.script(text_of(Script.PERMISSIONS), [probe, *keys], [])
    if answer[:1] == [b"WRITES"]:
        raise from_error_text(answer[1].decode(errors="replace"))
    if answer:
        raise permission_denied(*(word.decode(errors="replace") for word in answer))


async def consumers(client_list: bytes, database: int) -> list[Consumer]:
    """Return the connections to a database whose last command was BRPOP, which kombu's workers send all the time.

    CLIENT LIST does not say for which queue: a consumer of another queue looks the same (`_brpop_start` in
    `kombu/transport/redis.py`; the fields are those of https://redis.io/docs/latest/commands/client-list/).
    """
    found = []
    for number, line in enumerate(client_list.splitlines(), 1):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)  # a server may have ten thousand connections
        if b" cmd=brpop " not in line:
            continue
        fields = dict(word.partition("=")[::2] for word in line.decode(errors="replace").split(" "))
        if fields.get("cmd") == "brpop" and fields.get("db") == str(database):
            address = fields.get("addr", "").rpartition(":")[0].strip("[]")
            found.append(Consumer(id=fields.get("id", ""), address=address, age_seconds=int(fields.get("age", 0))))
    return found
