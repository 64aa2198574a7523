"""Workers of kinds that are known by their `scale` subresource alone: what they need to be stopped safely."""

from collections.abc import Mapping, Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.kinds import PodsOf, kind_of
from queue_recovery.workers.label_selectors import parse_selector
from queue_recovery.workers.namespace import Namespace, NotFound
from queue_recovery.workers.objects import Selector
from queue_recovery.workers.workloads import Scalable


async def pod_selectors(namespace: Namespace, refs: Sequence[WorkerRef]) -> Mapping[WorkerRef, Selector | None]:
    """Return for each worker the selector of its `scale` subresource; None: its pods are known otherwise.

    Sends two requests for each worker whose pods are known by that.

    Raises:
        RecoveryError: `WorkerNotScalable`.
    """
    return {ref: await _selector(namespace, ref) for ref in refs}


async def _selector(namespace: Namespace, ref: WorkerRef) -> Selector | None:
    if kind_of(ref.gvk).pods_of is not PodsOf.SELECTOR:
        return None
    resource = await namespace.resources.find(ref.gvk)
    if resource.scale is None:
        raise _not_scalable(ref, f"{ref.gvk} has no subresource scale in {ref.api_version}")
    try:
        found = await namespace.read(resource.single, ref.name)
        if isinstance(found, Scalable) and found.lacks is not None:
            raise _not_scalable(ref, f"it has no {found.lacks}")
        text = (await namespace.read(resource.scale, ref.name)).status.selector
    except NotFound:
        return None  # so it is not listed either
    if not text:
        raise _not_scalable(ref, "its subresource scale has no selector, so its pods are not known")
    return parse_selector(text)


def _not_scalable(ref: WorkerRef, why: str) -> RecoveryError:
    return RecoveryError(
        Reason.WORKER_NOT_SCALABLE,
        f"{ref} cannot be stopped safely: {why}. List the workloads that it manages as workers instead",
    )
