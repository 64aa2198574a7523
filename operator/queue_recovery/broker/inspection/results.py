"""Read what Celery has stored of tasks: results in JSON, by task id. Nothing else is deserialised.

The keys and the shape are those of `celery/backends/base.py` (`get_key_for_task`, `_get_result_meta`,
`prepare_exception`) and of `celery/app/trace.py` (`STARTED`). A result may hold what a task has returned, so only its
state, its failure and the process that runs it leave this module.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from queue_recovery.api.quarantined import MOST_RETRIES
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.layout.envelope import read_json
from queue_recovery.diagnosis.evidence import TaskProcess, TaskResult
from queue_recovery.diagnosis.failure import failure_in

_LARGEST: Final = 32 * 1024
"""Bytes of a result that is read; a longer one is left out."""

_AT_ONCE: Final = 8
"""Results of one round trip: together no larger than any other reply."""

_LONGEST_ID: Final = 200
"""Characters of a task id; Celery's own have 36."""

_LONGEST_NODE: Final = 512
_LARGEST_PID: Final = 2**31
_LONGEST_TIME: Final = 64
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

_PREFIX: Final = "celery-task-meta-"
_SEPARATORS: Final = ":_-."


def key_prefix(global_key_prefix: str) -> str:
    """Return what the keys of results begin with; Celery puts a separator behind the application's prefix."""
    if global_key_prefix and global_key_prefix[-1] not in _SEPARATORS:
        global_key_prefix += "_"
    return f"{global_key_prefix}{_PREFIX}"


async def read_results(client: Client, prefix: str, task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
    """Return the results that exist and can be read, by task id."""
    found: dict[str, TaskResult] = {}
    for ids in _batches([one for one in task_ids if _is_id(one)]):
        values = await client.strings([f"{prefix}{one}" for one in ids], _LARGEST + 1)
        for task_id, value in zip(ids, values, strict=True):
            result = None if value is None or len(value) > _LARGEST else result_of(value)
            if result is not None:
                found[task_id] = result
    return found


def result_of(value: bytes) -> TaskResult | None:
    """Return a result, or None if it is not JSON in Celery's shape. Pure."""
    meta = read_json(value)
    if not isinstance(meta, dict):
        return None
    state = meta.get("status")
    if not isinstance(state, str):
        return None
    failed = state in {"FAILURE", "RETRY"}
    task = meta.get("name")
    retries = meta.get("retries")
    is_count = isinstance(retries, int) and not isinstance(retries, bool) and 0 <= retries <= MOST_RETRIES
    return TaskResult(
        failure=failure_in(_failure(meta)) if failed else None,
        succeeded=state == "SUCCESS",
        task=task if isinstance(task, str) and task else None,
        retries=retries if is_count else None,
        seen=_time(meta.get("date_done")),
        started_by=_process(meta.get("result")) if state == "STARTED" else None,
    )


def _process(found: object) -> TaskProcess | None:
    """Return the process that has stored that it has started a task."""
    match found:
        case {"hostname": str() as node, "pid": int() as pid} if not isinstance(pid, bool):
            _, at, host = node[:_LONGEST_NODE].rpartition("@")
            return TaskProcess(host=host, pid=pid) if at and host and 0 < pid < _LARGEST_PID else None
        case _:
            return None


def _failure(meta: Mapping[str, object]) -> object:
    """Return the failure with its traceback, which is beside it."""
    result = meta.get("result")
    return {**result, "traceback": meta.get("traceback")} if isinstance(result, dict) else result


def _time(value: object) -> datetime | None:
    """Parse `date_done`, which is in UTC, without a zone in older versions; None: it is no time of a task."""
    if not isinstance(value, str) or len(value) > _LONGEST_TIME:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        moment = parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= _EARLIEST else None


def _is_id(text: str) -> bool:
    """Tell whether a result may be stored under an id; half of a surrogate pair has no bytes."""
    return 0 < len(text) <= _LONGEST_ID and text.isprintable()


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
