"""A primary, a replica, and Sentinels that monitor them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from sandbox.broker import Broker
from sandbox.processes import LOOPBACK, Scope, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.broker import Flavour

NAME: Final = "media"
"""The primary's name in the Sentinels' configuration."""


class Watched:
    """A primary with a replica, and their Sentinels."""

    def __init__(self, primary: Broker, replica: Broker, sentinels: Sequence[Broker]) -> None:
        self.primary = primary
        """The primary according to the Sentinels."""
        self.replica = replica
        """The other server; after a failover the old primary, which becomes a replica by `follow`."""
        self.sentinels = sentinels

    @classmethod
    async def start(
        cls,
        scope: Scope,
        *,
        flavour: Flavour | None = None,
        options: Sequence[str] = (),
        sentinel_options: Sequence[str] = (),
        sentinels: int = 1,
    ) -> Self:
        """Start all servers, and wait until the replica follows and the Sentinels know it.

        Args:
            scope: owns the processes, which end with it.
            flavour: the kind of servers; by default the first of `flavours()`.
            options: of the servers, as for `Broker.start`.
            sentinel_options: of the Sentinels.
            sentinels: their number.
        """
        options = ["--repl-diskless-sync-delay", "0", *options]
        primary, replica = [await Broker.start(scope, flavour=flavour, options=options) for _ in range(2)]
        watching = [
            await Broker.start(scope, flavour=flavour, options=["--sentinel", *sentinel_options])
            for _ in range(sentinels)
        ]
        watched = cls(primary, replica, watching)
        await watched.follow()
        return watched

    @property
    def url(self) -> str:
        """The URL of database 0, as kombu reads it."""
        return ";".join(f"sentinel://{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)

    async def follow(self) -> None:
        """Make the replica follow the primary and the Sentinels monitor both, and wait until they do."""
        await ask(self.replica, "REPLICAOF", LOOPBACK, self.primary.port)

        async def connected() -> bool:
            role = await ask(self.replica, "ROLE")
            return bool(role[0] == b"slave" and role[3] == b"connected")

        async def known() -> bool:
            return all([await ask(sentinel, "SENTINEL", "REPLICAS", NAME) for sentinel in self.sentinels])

        await until(connected, "the replica to follow the primary")
        await self.watch(self.primary)
        await until(known, "the Sentinels to know the replica")

    async def watch(self, primary: Broker) -> None:
        """Make the Sentinels name this server as the primary, as if they had just failed over to it."""
        for sentinel in self.sentinels:
            with suppress(ResponseError):  # it does not monitor any yet
                await ask(sentinel, "SENTINEL", "REMOVE", NAME)
            await ask(sentinel, "SENTINEL", "MONITOR", NAME, LOOPBACK, primary.port, 1)
            await ask(sentinel, "SENTINEL", "SET", NAME, "down-after-milliseconds", 1000, "failover-timeout", 3000)
        if primary is self.replica:
            self.primary, self.replica = self.replica, self.primary

    async def replicated(self) -> None:
        """Wait until the replica has all data of the primary."""
        async with _client(self.primary) as client:
            await client.execute_command("SET", "sandbox:replicated", "")  # type: ignore[no-untyped-call]
            await client.execute_command("DEL", "sandbox:replicated")  # type: ignore[no-untyped-call]
            assert await client.execute_command("WAIT", 1, 10_000) == 1  # type: ignore[no-untyped-call]

    async def fail_over(self) -> None:
        """Make the Sentinels promote the replica, and wait until they report it.

        The old primary still acts as one: Sentinels turn it into a replica only some ten seconds later.
        """

        async def begun() -> bool:
            try:
                await ask(self.sentinels[0], "SENTINEL", "FAILOVER", NAME)
            except ResponseError:  # NOGOODSLAVE, INPROG: it has not checked the replica for too long
                return False
            return True

        await until(begun, "a failover to begin")
        await self.failed_over()

    async def failed_over(self) -> None:
        """Wait until all Sentinels name the replica as the primary."""

        async def switched() -> bool:
            found = [await ask(each, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME) for each in self.sentinels]
            return all(int(port) == self.replica.port for _, port in found)

        await until(switched, "the Sentinels to fail over")
        self.primary, self.replica = self.replica, self.primary


async def ask(server: Broker, *command: str | int) -> Any:  # noqa: ANN401 - any answer of the server
    """Send one command on a new connection."""
    async with _client(server) as client:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]


def _client(server: Broker) -> Redis:
    return Redis(host=LOOPBACK, port=server.port, protocol=2)
