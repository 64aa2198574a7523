"""The order with the fix: no job goes to an image that `restart.requireImage` does not allow."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing

from queue_recovery.api.reasons import Reason
from queue_recovery.api.required_image import RequiredImage
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import MOST_CHARACTERS_OF_IMAGES, Worker
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.wording import named, quoted
from queue_recovery.recovery.worker_changes import Awaited, WorkerChanges, awaited_rollout


async def check_images(recovery: Recovery, queues: Iterable[QueueSpec]) -> None:
    """Check the workers' images before anything is touched; nothing is checked while a dry run is suspended.

    The rollout need not be complete: poison may keep new pods from becoming available, and the recovery stops all
    pods and starts new ones from the same template.

    Raises RecoveryError (`WorkerNotInTarget`, `AwaitingImage`).
    """
    required = recovery.spec.restart.require_image
    if required is None:
        return
    workers = workers_of(queues)
    if foreign := [each.worker for each in required if each.worker not in workers]:
        raise RecoveryError(
            Reason.WORKER_NOT_IN_TARGET,
            f"restart.requireImage names {named([*map(str, foreign)])}, and the queue's workers are "
            f"{named([*map(str, workers)])}. "
            "Create a recovery that names these, or first add the worker to the target",
        )
    if recovery.spec.suspend:
        return
    found = await recovery.environment.workers.look([each.worker for each in required])
    missing = describe_missing(required, found)
    if not recovery.takes_messages:
        missing = missing or describe_outdated(required, found)  # where pods are stopped, all get the template
    if missing:
        since = recovery.status.resume_time or timestamp(recovery.resource.created)
        raise AwaitingChange(Reason.AWAITING_IMAGE, f"waiting since {since}: {missing}")


async def await_images(recovery: Recovery) -> None:
    """Wait until the workers have their images, and run nothing else any more."""
    required = recovery.spec.restart.require_image
    if required is None:
        return
    refs = [each.worker for each in required]
    async with aclosing(recovery.environment.workers.follow(refs)) as followed:
        changes = WorkerChanges(recovery, followed)
        workers = await changes.next()
        while (waiting := _waits_for(required, workers)) is not None:
            workers = await changes.next(waiting)


def _waits_for(required: Sequence[RequiredImage], workers: Sequence[Worker]) -> Awaited | None:
    if missing := describe_missing(required, workers) or describe_outdated(required, workers):
        return Awaited(
            reason=Reason.AWAITING_IMAGE, message=f"no further job is enqueued until the image is there: {missing}"
        )
    return awaited_rollout(workers)


def describe_missing(required: Sequence[RequiredImage], workers: Sequence[Worker]) -> str:
    """Describe which workers have other images than they must have, and which; empty: none. Pure."""
    found = {worker.ref: worker.images for worker in workers}
    parts = []
    for each in required:
        images = {name: image for name, image in found[each.worker].items() if each.container in {None, name}}
        is_short = sum(map(len, images.values())) <= MOST_CHARACTERS_OF_IMAGES
        if is_short and any(_matches(image, each.image) for image in images.values()):
            continue
        if not is_short:
            most = MOST_CHARACTERS_OF_IMAGES
            has = f"images of more than {most} characters together, which are not compared (shorten them)"
        elif not images:
            has = f'no container "{each.container}", only {quoted(found[each.worker])}'
        else:
            has = named([f'"{image}" (container "{name}")' for name, image in images.items()])
        parts.append(f'{each.worker} has {has}, and restart.requireImage asks for "{each.image}"')
    return "; ".join(parts)


def describe_outdated(required: Sequence[RequiredImage], workers: Sequence[Worker]) -> str:
    """Describe which workers keep pods of an image before although their rollout is complete; empty: none. Pure."""
    refs = {each.worker for each in required}
    found = [f"{worker.ref}: {worker.outdated}" for worker in workers if worker.ref in refs and worker.outdated]
    remedy = "Set partition to 0; if the type is OnDelete, delete the pods of the former template"
    return f"{'; '.join(found)}. {remedy}" if found else ""


def _matches(image: str, pattern: str) -> bool:
    """Return whether an image matches a pattern, in which `*` stands for any text.

    Each part is searched once, from where the one before it has ended: `fnmatch` would go back and try again, for
    seconds of the event loop that all tenants share.
    """
    first, *others = pattern.split("*")
    if not others:
        return image == pattern
    *middle, last = others
    if not image.startswith(first):
        return False
    start = len(first)
    for part in middle:
        found = image.find(part, start)
        if found < 0:
            return False
        start = found + len(part)
    return len(image) - len(last) >= start and image.endswith(last)
