"""The connections to the API server, one for each kind of request."""

from dataclasses import dataclass

from kubernetes.aio.client import ApiClient


@dataclass(frozen=True)
class Connections:
    """One client for each kind of request, so that none waits for another kind.

    All have the same server and the same credentials.
    """

    ordinary: ApiClient
    watches: ApiClient
    """Each watch holds a connection for minutes."""
    writes: ApiClient
    """For the writes to Deployments: many other requests must not delay scaling workers back."""

    @classmethod
    def all_by(cls, client: ApiClient) -> "Connections":
        """Return connections that are all made by one client."""
        return cls(ordinary=client, watches=client, writes=client)
