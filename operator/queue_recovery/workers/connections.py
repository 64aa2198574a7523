"""The connections to the API server, so that no kind of request waits for another kind's."""

from dataclasses import dataclass

from kubernetes.aio.client import ApiClient


@dataclass(frozen=True)
class Connections:
    """One client for each kind of request; the same server and the same credentials."""

    ordinary: ApiClient
    watches: ApiClient
    """Each watch holds a connection for minutes."""
    writes: ApiClient
    """For the writes to Deployments: a crowd of other requests must not delay what gives replicas back."""

    @classmethod
    def all_by(cls, client: ApiClient) -> "Connections":
        """Return connections that are all made by one client."""
        return cls(ordinary=client, watches=client, writes=client)
