"""A worker: an object of Kubernetes whose pods consume queues."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from queue_recovery.api.base import Model, ObjectName

WorkerKind = Literal["Deployment", "StatefulSet"]
"""The kinds of workers."""


class WorkerRef(Model):
    """A worker in the same namespace."""

    kind: WorkerKind = Field("Deployment", description="Kind of the worker.")
    name: ObjectName = Field(description="Name of the worker, in this namespace.")

    @property
    def resource(self) -> str:
        """The worker as kubectl names it: `deployment/tts-worker`."""
        return f"{self.kind.lower()}/{self.name}"

    @override
    def __str__(self) -> str:
        """Return the worker as messages name it: `Deployment "tts-worker"`."""
        return f'{self.kind} "{self.name}"'

    def __lt__(self, other: "WorkerRef") -> bool:
        """Order workers by kind and name."""
        return (self.kind, self.name) < (other.kind, other.name)
