"""The handlers for kopf: each event goes to the reconciler or the target monitor.

kopf is used for events only. Its handlers with a state (daemons, timers, changes) would put a finalizer of kopf's own,
or annotations, on the resources.
"""

from collections.abc import Awaitable, Callable
from typing import cast

import kopf
from typing_extensions import override

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.controller.operator import Operator
from queue_recovery.controller.resource import is_finished


class _NoDifferences(kopf.DiffBaseStorage):
    """Saves kopf from copying and comparing bodies: no handler asks for differences."""

    @override
    def build(self, **_: object) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    @override
    def fetch(self, **_: object) -> None:
        return None

    @override
    def store(self, **_: object) -> None:
        return None


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # the operator may not read CRDs
    chosen.peering.standalone = True
    chosen.persistence.diffbase_storage = _NoDifferences()
    chosen.posting.enabled = False  # `event_poster.py` posts
    chosen.networking.request_timeout = None  # each try has its timeout (`kopf_session.py`); all of them may take long
    chosen.watching.chunk_size = 50  # finished recoveries add up; all of them in one answer take twice the memory
    chosen.queueing.idle_timeout = 0.1  # a worker that waits for more events of a resource holds its last body
    chosen.watching.server_timeout = 600
    chosen.watching.client_timeout = 660  # a connection that died silently is noticed
    return chosen


def registry(operator: Operator, *, stopped: Callable[[], Awaitable[None]]) -> kopf.OperatorRegistry:
    """Return the handlers; `stopped` is awaited when kopf stops."""
    chosen = kopf.OperatorRegistry()

    @kopf.on.login(registry=chosen)
    async def log_in(**_: object) -> kopf.AiohttpSession:
        return operator.log_in()

    @kopf.on.event(GROUP, VERSION, "queuerecoveries", registry=chosen)
    async def receive_recovery(body: kopf.Body, type: str | None, **_: object) -> None:  # noqa: A002  # kopf's name
        operator.recoveries.receive(body, gone=type == "DELETED")
        _lighten(body)

    @kopf.on.event(GROUP, VERSION, "queuetargets", registry=chosen)
    async def receive_target(body: kopf.Body, type: str | None, **_: object) -> None:  # noqa: A002  # kopf's name
        operator.targets.receive(body, gone=type == "DELETED")
        operator.recoveries.receive_target(body, gone=type == "DELETED")

    @kopf.on.cleanup(registry=chosen)
    async def clean_up_process(**_: object) -> None:
        # No watch is left; kopf itself may take some more seconds to return.
        await stopped()

    return chosen


def _lighten(body: kopf.Body) -> None:
    """Remove from a recovery's body what is never read, to save memory.

    The body is held while the recovery is reconciled. kopf holds the last event of each resource for some seconds,
    after a start of all of them at once. So a finished recovery keeps only what `is_finished` and kopf read.
    """
    body["metadata"].pop("managedFields", None)
    if is_finished(body):
        body["spec"].clear()
        status = body["status"]
        for name in set(status) - {"completionTime", "observedGeneration"}:
            del status[name]
