"""What an effect is called and what it is about, by what is sent to a server. None: it changes no recovery. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from queue_recovery.api.recovery_spec import FINALIZER
from queue_recovery.broker.layout.own_keys import JOB_FIELD
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.recovery.ports import HELD_BY
from queue_recovery.workers.patches import FENCE
from tests.chaos.abstraction import said
from tests.chaos.points import About

_READS = frozenset(
    {
        *("PING", "INFO", "HELLO", "CLIENT", "GET", "HMGET", "HGETALL", "SCAN", "HSCAN", "SSCAN"),
        *("LRANGE", "ZRANGEBYSCORE", "ZREVRANGE"),
    }
)
_SCRIPTS = {text_of(script): script for script in Script if script is not Script.DUE}
"""Not those that only read, and not the one that removes forged UIDs from an index."""

_OPEN_RUNS = slice(4, None, 3)
"""Where the UIDs of the runs are among the arguments of `open.lua`."""
_PUSHED_JOBS = slice(1, None, 3)
"""Where the jobs are among those of `push.lua`."""


def of_redis(command: Sequence[Any]) -> str | None:
    """Name a command."""
    if command[0] == "EVAL":
        script = _SCRIPTS.get(command[1])
        return None if script is None else f"redis {script}"
    return None if command[0] in _READS else f"redis {command[0]}"


def about_redis(command: Sequence[Any]) -> About:
    """Tell what a script is about."""
    script = _SCRIPTS.get(command[1]) if command[0] == "EVAL" else None
    if script is None:
        return About()
    count = int(command[2])
    keys, arguments = map(_texts, (command[3 : 3 + count], command[3 + count :]))
    runs = tuple(arguments[_OPEN_RUNS] if script is Script.OPEN else arguments[:1])
    by_field = {Script.REJOIN, Script.WRITE_OFF}
    sorted_list = keys[1:2] if script is Script.SORT else arguments[1:2] if script in by_field else []
    jobs = arguments[_PUSHED_JOBS] if script is Script.PUSH else []
    return About(
        runs=runs,
        part="".join(map(_priority, sorted_list)),
        jobs=tuple(job.removeprefix(JOB_FIELD) for job in jobs),
    )


def of_mongo(update: Mapping[str, Any]) -> str:
    """Name the first write of a batch; those of one batch are alike."""
    match [value for key, value in update["$set"].items() if key.startswith("queueRecovery.")]:
        case [{"was": _, "released": True}]:
            return "mongo revert" if len(update["$set"]) > 1 else "mongo release"
        case [{"was": _}]:
            return "mongo claim"
        case _:
            return "mongo fence"


def about_mongo(writes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> About:
    """Tell which jobs some writes are about, and whose stamps they set."""
    stamps = {key.split(".")[1] for _, update in writes for key in update["$set"] if key.startswith("queueRecovery.")}
    return About(runs=tuple(sorted(stamps)), jobs=tuple(str(query["_id"]) for query, _ in writes))


def of_kubernetes(method: str, path: str, body: Any) -> str | None:  # noqa: ANN401  # JSON
    """Name a request."""
    if method in {"GET", "HEAD"} or "/selfsubject" in path or "/leases" in path:
        return None
    return f"k8s {_ledger(body) if '/configmaps' in path else _object(method, path, body)}"


def about_kubernetes(path: str, body: Any) -> About:  # noqa: ANN401  # JSON
    """Tell which recovery a request writes, and what its status says then."""
    match path.split("/")[-3:]:
        case ["queuerecoveries", _, "status"]:
            return About(runs=(_uid(body),), status=said(body[-1]["value"]))
        case [_, "queuerecoveries", _]:
            return About(runs=(_uid(body),))
        case _:
            return About()


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
        case [_, "deployments" | "statefulsets" | "rollouts" | "scaledobjects" as resource, _]:
            return f"keda {_pausing(body)}" if resource == "scaledobjects" else _scaling(body)
        case other:
            return f"{method} {other[-2]}"


def parsed(body: object) -> Any:  # noqa: ANN401  # JSON
    """Return a request's body as JSON, however the client has been given it."""
    return json.loads(body) if isinstance(body, (str, bytes)) else body


def _uid(patch: Sequence[Mapping[str, Any]]) -> str:
    return next((str(one["value"]) for one in patch if one["path"] == "/metadata/uid"), "")


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
    if {"template", "restartAt"} & patch.get("spec", {}).keys():
        return "restart"
    if "spec" in patch:
        return "scale back" if patch["spec"]["replicas"] else "scale to 0"
    return "fence" if patch["metadata"]["labels"][FENCE] else "unfence"


def _pausing(patch: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    if not isinstance(patch, Mapping):
        return "disown"
    labels = patch["metadata"]["labels"]
    if HELD_BY in labels:
        return "pause" if labels[HELD_BY] else "unpause"
    return "fence" if labels[FENCE] else "unfence"


def _ledger(body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Name a write of an entry, with which the ledger is created or patched."""
    if isinstance(body, Mapping):
        (written,) = body["data"].values()
    else:
        written = next((one["value"] for one in body if one["op"] == "add" and one["path"] != "/data"), None)
    if written is None:
        return "ledger remove"
    entry = json.loads(written)
    return f"ledger {'outcome' if 'phase' in entry else 'executed' if entry['executed'] else 'begin'}"


def _priority(key: str) -> str:
    """Return the priority of a list, by the key or the field that ends with it."""
    return key.rpartition(":ready:")[2]


def _texts(words: Sequence[Any]) -> list[str]:
    return [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words]
