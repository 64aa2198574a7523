"""What a recovery's status says about those that scale its workers too."""

from pydantic import Field

from queue_recovery.api.base import Model, ObjectName, ShownName
from queue_recovery.api.worker_ref import WorkerRef

MOST_SCALED_OBJECTS = 200
"""One for each worker that a recovery stops."""


class PausedScaledObject(Model):
    """A KEDA ScaledObject that the recovery pauses, and gives its former pause back at every ending."""

    name: ObjectName = Field(description="The ScaledObject's name.")
    uid: str = Field(max_length=64, description="Its UID.")
    taken_over_from: str | None = Field(
        None, max_length=64, description="UID of a recovery that had paused it and no longer exists."
    )


MOST_OWNERS = 20
"""What a plan names of them."""


class ReplicaOwner(WorkerRef):
    """A field manager that owns a worker's `spec.replicas` by server-side apply."""

    manager: ShownName = Field(description="The field manager, such as `kustomize-controller` of Flux.")
