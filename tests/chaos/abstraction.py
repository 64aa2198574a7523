"""What an effect of the operator is in the model (`tests/model`): which action it is, or why it is none. Pure.

The model has one queue of one list. What a recovery does to further ones is the same again, and is not compared.
"""

from collections.abc import Mapping
from typing import Any, Final

from tests.model.state import Status

OWN: Final[Mapping[str, frozenset[str]]] = {
    "redis open": frozenset({"open"}),
    "redis freeze": frozenset({"freeze", "prepare"}),
    "redis move_unacked": frozenset({"move unacked", "move unacked again"}),
    "redis boundary": frozenset({"pass the boundary", "begin to take"}),
    "redis sort": frozenset({"sort", "sort at the end"}),
    "redis rejoin": frozenset({"bring back", "bring back at the end"}),
    "redis write_off": frozenset({"look what to sort", "look what to sort at the end"}),
    "redis complete": frozenset({"complete"}),
    "redis push": frozenset({"push"}),
    "redis close": frozenset({"refuse late takers", "close", "close for good"}),
    "redis give_back_unacked": frozenset({"give back"}),
    "redis release": frozenset({"release"}),
    "redis put_back_unacked": frozenset({"put back unacked"}),
    "redis stage": frozenset({"stage"}),
    "k8s restart": frozenset({"restart"}),
    "redis redeliver": frozenset({"give back what is stranded"}),
    "mongo claim": frozenset({"claim"}),
    "mongo fence": frozenset({"settle"}),
    "mongo revert": frozenset({"settle"}),
    "mongo release": frozenset({"settle"}),
    "k8s add the finalizer": frozenset({"add the finalizer"}),
    "k8s remove the finalizer": frozenset({"remove the finalizer"}),
    "k8s scale to 0": frozenset({"scale"}),
    "k8s scale back": frozenset({"look", "restore", "bring the workers back"}),
    "k8s fence": frozenset({"look", "restore", "bring the workers back", "refuse late restarts"}),
    "k8s keda pause": frozenset({"pause"}),
    "k8s keda unpause": frozenset({"unpause", "unpause at the end"}),
    "k8s keda fence": frozenset({"unpause", "unpause at the end"}),
}
"""The actions that an effect on the recovery's own run, jobs, workers and resource may be."""

THEIRS: Final[Mapping[str, frozenset[str]]] = {
    "redis sort": frozenset({"sort theirs"}),
    "redis rejoin": frozenset({"bring theirs back"}),
    "redis write_off": frozenset({"look what to sort of theirs"}),
    "redis close": frozenset({"close theirs", "close theirs for good"}),
    "redis give_back_unacked": frozenset({"give theirs back"}),
    "redis release": frozenset({"release theirs"}),
    "mongo fence": frozenset({"settle theirs"}),
    "mongo revert": frozenset({"settle theirs"}),
    "mongo release": frozenset({"settle theirs"}),
    "k8s scale back": frozenset({"scale theirs back"}),
    "k8s fence": frozenset({"scale theirs back"}),
    "k8s keda unpause": frozenset({"unpause theirs"}),
}
"""The same, for an effect on those of a recovery that is taken over."""

WRITES: Final = frozenset(
    {"write the intent", "write that it is drained", "write that it is purged", "write that nothing is taken"}
    | {"write that it drains again", "write that it is restored", "write the jobs", "wait for the rollout"}
    | {"write that it is redelivered"}
    | {"end with nothing to do", "give it up", "end as cancelled", "end as failed", "finish"}
)
"""The actions that a write of the status may be which says something new (`said`)."""

READS: Final = frozenset(
    {"read the status", "lock", "look", "confirm", "wait for the last pod", "look at the jobs"}
    | {"begin to take", "scan", "scan once more", "look again"}
    | {"look what to sort", "look what to sort at the end", "look what to sort of theirs", "look what to put back"}
    | {"look at the autoscaler", "confirm before the pause"}
    | {"read unacked", "look at the processes", "look before the restart", "confirm before the restart"}
)
"""The actions that only read, as long as they change nothing that others can see; a trace does not show them."""

OF_COPIES: Final = frozenset({"begin the entry", "mark the entry", "record the outcome"})
"""The actions of a recovery that is a copy or has one; no case that is compared with the model has copies in it."""

OF_BROKEN_ONES: Final = frozenset({"read after the look", "push what was removed"})
"""The actions of a protocol from which a part is taken out."""

NOT_MODELLED: Final[Mapping[str, str]] = {
    "(target) ": "the health of a target",
    "k8s event ": "events tell people what the status says",
    "k8s target status": "the health of a target",
    "k8s unfence": "removes the label of the fence, which is one action with setting it",
    "k8s disown": "removes the operator from the owners of fields",
    "k8s keda unfence": "removes the label of the fence, which is one action with setting it",
    "k8s keda disown": "removes the operator from the owners of fields",
    "k8s ledger ": "copies of a recovery, which no case has, are explored by the model alone",
    "mongo check": "tries the permissions on an id that no job has",
    "redis permissions": "tries the permissions on a key of its own",
    "redis expire": "retention: an action of the surroundings in the model",
    "redis UNLINK": "removes the quarantine of a recovery that retains none; retention removes old records by it",
    "redis ZADD": "retention: looks at a quarantine again later",
    "redis ZREM": "retention: forgets a record that is gone",
}
"""What effects begin with that are no action of the model, and why."""

BATCHES: Final = frozenset(
    {"redis freeze", "redis move_unacked", "redis sort", "redis rejoin", "redis put_back_unacked"}
    | {"redis redeliver", "redis give_back_unacked", "mongo fence", "mongo revert", "mongo release"}
)
"""Effects of which several in a row are one action of the model: a part of the work each."""

_CONDITIONS: Final = {
    "Restored": "restored",
    "Reenqueued": "reenqueued",
    "Redelivered": "redelivered",
    "Restarted": "restarted",
    "Purged": "purged",
    "Drained": "drained",
}


def is_modelled(effect: str) -> bool:
    """Tell whether an effect is an action of the model.

    Raises:
        KeyError: nobody has said what it is.
    """
    if effect.startswith("k8s status ") or effect in OWN:
        return True
    if any(effect.startswith(beginning) for beginning in NOT_MODELLED):
        return False
    raise KeyError(effect)


def said(status: Mapping[str, Any]) -> str:
    """Say what a status of the API server means in the model, in the words of `said_by`."""
    ending = status.get("ending", {}).get("phase", "")
    if "completionTime" in status:
        return f"over: {status['phase']}"
    done = {one["type"] for one in status.get("conditions", ()) if one["status"] == "True"}
    begun = "draining" if "drainStartTime" in status else "planned"
    step = next((step for kind, step in _CONDITIONS.items() if kind in done), begun)
    return _said(step, status.get("purge", {}).get("attempt", 1), ending)


def said_by(status: Status) -> str:
    """Say what a status of the model means."""
    if status.over:
        return f"over: {'Failed' if status.ending == 'In doubt' else status.ending}"
    return _said(status.step, status.attempt, status.ending)


def _said(step: str, attempt: int, ending: str) -> str:
    return f"{step}, attempt {attempt}{f', ends as {ending}' if ending else ''}"
