"""What is done to every object that a recovery holds: a fence against late writes, and no trace afterwards."""

from contextlib import suppress
from typing import Final

from queue_recovery.api.reasons import Outcome
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.namespace import Conflict, Namespace, NotFound
from queue_recovery.workers.objects import ObjectT
from queue_recovery.workers.patches import FENCE, field_release
from queue_recovery.workers.resources import Writable

ATTEMPTS: Final = 10
"""How often a write is tried that conflicts with another one."""


async def fenced(namespace: Namespace, kind: Writable[ObjectT], known: ObjectT) -> ObjectT:
    """Change the resourceVersion, if nothing else has, and leave no trace; raises Conflict and NotFound."""
    name, uid, version = known.metadata.name, known.metadata.uid, known.metadata.resource_version
    # A value of its own each time: a write that changes nothing leaves the resourceVersion as it is.
    condition = {"uid": uid, "resourceVersion": version}
    await namespace.merge(kind, name, {"metadata": {**condition, "labels": {FENCE: version}}})
    return await namespace.merge(kind, name, {"metadata": {"labels": {FENCE: None}}})


async def release_fields(namespace: Namespace, kind: Writable[ObjectT], written: ObjectT) -> None:
    """Remove the operator from the managers of the object's fields.

    Otherwise a later server-side apply of another value conflicts. Where a policy denies this, that conflict is all
    that happens.

    Raises RecoveryError (`KubernetesUnavailable`): what matters is written, and the next call tries this again.
    """
    name = written.metadata.name
    for _ in range(ATTEMPTS):
        operations = field_release(written)
        if not operations:
            return
        try:
            written = await namespace.edit(kind, name, operations)
        except NotFound:
            return
        except (Conflict, RecoveryError) as error:
            if isinstance(error, RecoveryError) and error.outcome is not Outcome.UNAVAILABLE:
                return
            # Any other write changes the order of the list.
            with suppress(NotFound):
                written = await namespace.read(kind, name)
