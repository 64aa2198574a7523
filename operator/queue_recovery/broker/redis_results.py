"""Celery's results in Redis, as a diagnosis reads them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Self

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.connection.connecting import connect
from queue_recovery.broker.connection.url import parse_url
from queue_recovery.broker.inspection.results import key_prefix, read_results
from queue_recovery.diagnosis.evidence import TaskResult
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations


class RedisResults:
    """Implements `recovery.ports.Results`."""

    def __init__(self, client: Client, prefix: str, *, release: Callable[[], Awaitable[None]] | None = None) -> None:
        """Store the client, and what the keys begin with; `aclose` calls `release` if others use the client too."""
        self._client = client
        self._prefix = prefix
        self._release = release or client.aclose

    @property
    def is_sound(self) -> bool:
        """False once a command has failed, so that the connections are not used again."""
        return self._client.is_sound

    def for_one_user(self, release: Callable[[], Awaitable[None]]) -> Self:
        """Return the results over the same connections, for one user; its `aclose` calls `release`."""
        return type(self)(self._client, self._prefix, release=release)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        global_key_prefix: str = "",
        options: TransportOptions | None = None,
        certificates: Certificates | None = None,
        sentinel_password: str | None = None,
        destinations: Destinations = ANYWHERE,
    ) -> Self:
        """Return the results at a URL; connects with the first command. See `RedisBroker.connect`.

        Args:
            url: of the server, or of its Sentinels.
            global_key_prefix: of the application's `result_backend_transport_options`.
            options: how the Sentinels are asked.
            certificates: for TLS; None: only the URL says whether and how TLS is used.
            sentinel_password: what the Sentinels ask for, if they do.
            destinations: the addresses to which it connects.
        """
        address = parse_url(url)
        redis = connect(address, options or TransportOptions(), certificates, sentinel_password, destinations)
        return cls(Client(redis, address.database), key_prefix(global_key_prefix))

    async def read(self, task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
        """See `ports.Results`."""
        return await read_results(self._client, self._prefix, task_ids)

    async def aclose(self) -> None:
        """See `ports.Results`."""
        await self._release()
