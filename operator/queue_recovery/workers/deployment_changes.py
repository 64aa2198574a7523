"""Which changes of a Deployment are news for a recovery that waits for one. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from queue_recovery.workers.objects import Deployment
from queue_recovery.workers.patches import NO_NOTE


@dataclass(frozen=True)
class ObservedDeployment:
    """A Deployment, as far as a change of it is news."""

    uid: str
    version: int
    generation: int
    note: Mapping[str, str | None]
    """The labels of a note, as they are."""


State = ObservedDeployment | None
"""None: there is no Deployment of that name."""


def observe_all(names: Sequence[str], deployments: Collection[Deployment]) -> dict[str, State]:
    """Return the states of the Deployments of these names."""
    found = {one.metadata.name: one for one in deployments if one.metadata.name in names}
    return {name: observe(found[name]) if name in found else None for name in names}


def observe(deployment: Deployment) -> ObservedDeployment:
    """Return a Deployment's state."""
    metadata = deployment.metadata
    labels = {name: metadata.labels.get(name) for name in NO_NOTE}
    return ObservedDeployment(metadata.uid, metadata.version, metadata.generation, labels)


def is_relevant(before: State, now: State) -> bool:
    """Tell whether a Deployment is another one, or newer; a watch may lag behind what was looked at since."""
    if before is None or now is None:
        return before is not now
    if before.uid != now.uid:
        return True
    return before.version < now.version and (before.generation, before.note) != (now.generation, now.note)
