"""What everybody else does: Kubernetes, the worker, other workers of the database, producers and the user."""

from collections.abc import Iterator
from typing import NamedTuple

from typing_extensions import override

from tests.model.world import NOBODY, OLD, Job, Message, Process, World, added, forgotten, removed

_UNLISTED = 9
"""A job that no recovery lists."""


class Move(NamedTuple):
    """One thing that may happen next."""

    label: str
    world: World
    sure: bool = True
    """Whether it happens some time if nothing else does; a death or a cancel may stay away."""
    process: Process | None = None
    """Whose move it is, if an operator's."""

    @override
    def __str__(self) -> str:
        """Tell what happens."""
        if self.process is None:
            return self.label
        status = self.process.status
        return f"recovery {self.process.recovery}, known to be {status.ending or status.step}: {self.label}"


def moves(world: World) -> Iterator[Move]:
    """Yield what others than operators may do next."""
    yield from _pod(world)
    yield from _worker(world)
    for message in sorted({*world.unacked} - {*world.hands}):
        restored = world._replace(unacked=removed(world.unacked, message), queue=added(world.queue, message))
        yield Move(f"another worker's sweep puts {message} back into the list", restored)
    yield from _chances(world)


def _pod(world: World) -> Iterator[Move]:
    if world.replicas and not world.pods:
        yield Move("a pod starts", world._replace(pods=1))
    if world.pods and not world.replicas:
        ended = world._replace(pods=0, hands=())
        if not world.hands:
            yield Move("the pod ends", ended)
        else:
            yield Move("the pod is killed over its message", ended)
            yield Move("the pod ends and gives its message back", _given_back(ended, world.hands[0]))


def _worker(world: World) -> Iterator[Move]:
    if not world.pods:
        return
    if not world.hands:
        for message in sorted({*world.queue}):
            taken = world._replace(
                queue=removed(world.queue, message), unacked=added(world.unacked, message), hands=(message,)
            )
            yield Move(f"the worker takes {message}", taken)
        return
    message = world.hands[0]
    free = world._replace(hands=())
    if message.task == OLD and world.retries:
        yield Move(f"the worker fails and retries {message}", _given_back(free, message))
        return
    done = free._replace(unacked=removed(free.unacked, message), executed=added(free.executed, message))
    if message.job >= len(world.jobs):
        yield Move(f"the worker executes {message}", done)
        return
    job = world.jobs[message.job]
    yield Move(f"the worker executes {message}", done.with_job(message.job, job._replace(status="done")))
    yield Move(f"the worker fails at {message}", done.with_job(message.job, job._replace(status="failed")))


def _given_back(world: World, message: Message) -> World:
    """Return the world after an unacknowledged message went back to its list, if it was not taken meanwhile."""
    if message not in world.unacked:
        return world
    return world._replace(unacked=removed(world.unacked, message), queue=added(world.queue, message))


def _chances(world: World) -> Iterator[Move]:
    if is_over(world):
        return
    if world.cancels and not world.statuses[0].ending:
        # With the broker away for good it is the deadline that comes, sooner or later.
        cancelled = world._replace(cancels=0, cancelled=True)
        yield Move("the user cancels the first recovery", cancelled, sure=world.broker_away)
    yield from _removals(world)
    last = len(world.statuses) - 1
    if world.removals and world.statuses[last].touched and world.statuses[0].step == "planned":
        yield Move("somebody removes the last recovery by force", world._replace(removals=0, vanished=last), sure=False)
    if world.outages:
        yield Move("the broker goes away for good", world._replace(outages=0, broker_away=True), sure=False)
    if world.producers:
        yield Move("a producer sends a message", _sent(world._replace(producers=0), "other", _UNLISTED), sure=False)
    if world.scalings and world.note != NOBODY:
        scaled = world.scaled(1 - world.replicas, world.note)._replace(scalings=world.scalings - 1)
        yield Move(f"somebody else scales to {scaled.replicas}", scaled, sure=False)
    if world.losses and world.runs[0].state in {"preparing", "purged"}:
        lost = world._replace(losses=0).with_run(0, forgotten(world.runs[0]))
        yield Move("the broker loses the first recovery's record", lost, sure=False)
    if world.rivals and world.jobs[0].status == "failed":
        taken = world._replace(rivals=0).with_job(0, Job("pending", "rival", world.jobs[0].stamps))
        yield Move("the application enqueues the job itself", _sent(taken, "rival", 0), sure=False)


def _removals(world: World) -> Iterator[Move]:
    if world.deletions:
        yield _deletion(world._replace(deletions=0))
    if world.strippings and world.finalizers[0]:
        stripped = world._replace(strippings=0).with_finalizer(0, there=False)
        yield Move("somebody removes the first recovery's finalizer, and leaves another", stripped, sure=False)


def _deletion(world: World) -> Move:
    if not world.finalizers[0] and not world.kept:
        return Move("the user deletes the first recovery, which goes", world._replace(vanished=0), sure=False)
    waits = world._replace(deleted=True, cancelled=True)
    return Move("the user deletes the first recovery, which has the finalizer", waits, sure=False)


def _sent(world: World, task: str, job: int) -> World:
    message = Message(task, job)
    return world._replace(queue=added(world.queue, message), sent=added(world.sent, message))


def is_over(world: World) -> bool:
    """Tell whether no operator has anything left to do."""
    return all(process.at == "done" for process in world.processes)
