"""What an effect is called, by what is sent to a server. None: no recovery is changed by it. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateOne

from queue_recovery.api.recovery_spec import FINALIZER
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.workers.patches import FENCE

_READS = frozenset(
    {
        *("PING", "INFO", "HELLO", "CLIENT", "GET", "HMGET", "HGETALL", "SCAN", "HSCAN", "SSCAN"),
        *("LRANGE", "ZRANGEBYSCORE", "ZREVRANGE"),
    }
)
_SCRIPTS = {text_of(script): script.value for script in Script if script is not Script.DUE}
"""Not those that only read, and not the one that removes forged UIDs from an index."""


def of_redis(command: Sequence[Any]) -> str | None:
    """Name a command."""
    if command[0] == "EVAL":
        script = _SCRIPTS.get(command[1])
        return None if script is None else f"redis {script}"
    return None if command[0] in _READS else f"redis {command[0]}"


def of_mongo(write: UpdateOne) -> str:
    """Name the first write of a batch; those of one batch are alike."""
    update: Any = write._doc
    match [value for key, value in update["$set"].items() if key.startswith("queueRecovery.")]:
        case [{"was": _, "released": True}]:
            return "mongo give back" if len(update["$set"]) > 1 else "mongo let go"
        case [{"was": _}]:
            return "mongo claim"
        case _:
            return "mongo release"


def of_kubernetes(method: str, path: str, body: Any) -> str | None:  # noqa: ANN401  # JSON
    """Name a request."""
    if method in {"GET", "HEAD"} or "/selfsubject" in path or "/leases" in path:
        return None
    return f"k8s {_object(method, path, body)}"


def _object(method: str, path: str, body: Any) -> str:  # noqa: ANN401  # JSON
    match path.split("/")[-3:]:
        case [*_, "events"]:
            return f"event {body['reason']}"
        case ["queuerecoveries", _, "status"]:
            return f"status {_phase(body)}"
        case ["queuetargets", _, "status"]:
            return "target status"
        case [_, "queuerecoveries", _]:
            return _finalizer(body)
        case [_, "deployments", _]:
            return _scaling(body)
        case other:
            return f"{method} {other[-2]}"


def parsed(body: object) -> Any:  # noqa: ANN401  # JSON
    """Return a request's body as JSON, however the client has been given it."""
    return json.loads(body) if isinstance(body, (str, bytes)) else body


def _phase(patch: Sequence[Mapping[str, Any]]) -> str:
    status = patch[-1]["value"]
    reason = next(one["reason"] for one in status["conditions"] if one["type"] == "Ready")
    bound = " ending" if "ending" in status and "completionTime" not in status else ""
    return f"{status['phase']} {reason}{bound}"


def _finalizer(patch: Sequence[Mapping[str, Any]]) -> str:
    return "add the finalizer" if FINALIZER in patch[-1]["value"] else "remove the finalizer"


def _scaling(patch: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    if not isinstance(patch, Mapping):
        return "disown"
    if "spec" in patch:
        return "restore" if patch["spec"]["replicas"] else "scale to 0"
    return "fence" if patch["metadata"]["labels"][FENCE] else "unfence"
