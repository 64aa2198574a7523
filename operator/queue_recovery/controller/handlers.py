"""The glue to kopf: which events of which resources wake what."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import kopf
from typing_extensions import override

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.recovery import FINALIZER
from queue_recovery.controller.logs import place_of
from queue_recovery.controller.operator import Operator
from queue_recovery.controller.resource import KubernetesResource
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.work import work
from queue_recovery.recovery.world import Gone

_LOG = logging.getLogger(__name__)
_RETRY = 10.0
"""Seconds until an unfinished clean-up is tried again."""

_LINGER = 10.0
"""Seconds a daemon stays after the terminal write, so that kopf ends it, and starts it again on a later change."""


class _NoDiffBase(kopf.DiffBaseStorage):
    """No annotation with the last spec: it breaks at 256 KiB, and nothing here compares specs."""

    @override
    def fetch(self, **_: object) -> None:
        """Return that there is none."""

    @override
    def store(self, **_: object) -> None:
        """Store nothing."""


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings; each one has its reason."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # the operator may not read CRDs
    chosen.peering.standalone = True
    chosen.posting.enabled = False  # `events.py` posts
    chosen.persistence.finalizer = FINALIZER
    chosen.persistence.diffbase_storage = _NoDiffBase()
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="queuerecovery.dev", v1=False)
    chosen.background.cancellation_polling = 2  # the default of 60 lets a deletion hang for a minute
    chosen.background.instant_exit_timeout = 5  # the deletion handler then runs after the daemon, once
    chosen.networking.request_timeout = None  # each try has its time (`kopf_session.py`); all of them may take long
    chosen.watching.chunk_size = 50  # finished recoveries add up; all of them in one answer cost twice the memory
    chosen.watching.server_timeout = 600
    chosen.watching.client_timeout = 660  # a connection that died without a word is noticed
    return chosen


def registry(operator: Operator, *, stopped: Callable[[], Awaitable[None]]) -> kopf.OperatorRegistry:
    """Return the handlers: recoveries are worked on, targets are told to the board; at the end `stopped` is awaited."""
    chosen = kopf.OperatorRegistry()

    @kopf.on.login(registry=chosen)
    async def log_in(**_: object) -> kopf.AiohttpSession:
        return operator.log_in()

    @kopf.on.event(GROUP, VERSION, "queuerecoveries", registry=chosen)
    async def hear_recovery(body: kopf.Body, memo: kopf.Memo, type: str | None, **_: object) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED" or "completionTime" in body.get("status", {}):
            operator.world(body.metadata["namespace"]).see_end(body.metadata["name"])
        resource = memo.get("resource")
        if resource is not None:
            resource.hear(body)
        if not _due(body) and body.metadata.get("deletionTimestamp") is None:
            _lighten(body)

    @kopf.daemon(
        GROUP,
        VERSION,
        "queuerecoveries",
        registry=chosen,
        when=_due,
        cancellation_backoff=3,
        cancellation_timeout=5,
    )
    async def recover(body: kopf.Body, memo: kopf.Memo, stopped: kopf.DaemonStopped, **_: object) -> None:
        resource = _resource(operator, body, memo)
        await resource.protected()
        await _until_exit(_work(operator, resource), stopped)
        memo.pop("resource", None)  # what a recovery that is over said is not kept
        await stopped.wait(_LINGER)

    @kopf.on.delete(GROUP, VERSION, "queuerecoveries", registry=chosen, optional=True)
    async def clean_up(body: kopf.Body, memo: kopf.Memo, **_: object) -> None:
        resource = _resource(operator, body, memo)
        resource.hear(body)
        await _work(operator, resource)

    @kopf.on.event(GROUP, VERSION, "queuetargets", registry=chosen)
    async def hear_target(body: kopf.Body, type: str | None, **_: object) -> None:  # noqa: A002  # kopf's name
        operator.targets.hear(body, gone=type == "DELETED")

    @kopf.on.cleanup(registry=chosen)
    async def clean_up_process(**_: object) -> None:
        # No watch and no daemon is left; kopf itself may take seconds more until it returns.
        await stopped()

    return chosen


def _due(body: kopf.Body, **_: object) -> bool:
    """Tell whether there is something to do: not ended, or the newest spec not seen."""
    status: Mapping[str, Any] = body.get("status", {})
    return "completionTime" not in status or status.get("observedGeneration") != body.metadata.get("generation")


def _lighten(body: kopf.Body) -> None:
    """Empty the body of a recovery that is over but for what `_due` and kopf read: kopf holds the last one of each.

    The next event of the recovery brings a whole one.
    """
    body["metadata"].pop("managedFields", None)
    body["spec"].clear()
    status = body["status"]
    for name in set(status) - {"completionTime", "observedGeneration"}:
        del status[name]


def _resource(operator: Operator, body: kopf.Body, memo: kopf.Memo) -> KubernetesResource:
    resource = memo.get("resource")
    if not isinstance(resource, KubernetesResource):
        resource = memo["resource"] = operator.resource(body)
    return resource


async def _until_exit(working_on: Coroutine[Any, Any, None], stopped: kopf.DaemonStopped) -> None:
    """Work; when the process is to end, give up at once as if it had died: whoever leads next need not wait for it."""
    working = asyncio.ensure_future(working_on)
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.reason is not None and kopf.DaemonStoppingReason.OPERATOR_EXITING in stopped.reason:
            working.cancel()
        await working
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait({working})


async def _work(operator: Operator, resource: KubernetesResource) -> None:
    with operator.working(resource), suppress(Gone):
        try:
            await work(resource, operator.world(resource.namespace))
        except RecoveryError as error:
            _LOG.warning("%s/%s: %s", resource.namespace, resource.name, error)
            raise kopf.TemporaryError(str(error), delay=_RETRY) from None
        except asyncio.CancelledError:
            _LOG.info("%s/%s: stopped; whoever starts next goes on from here", resource.namespace, resource.name)
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again
            where = place_of(error)
            _LOG.error("%s/%s: unexpected %s; please report it", resource.namespace, resource.name, where)
            raise kopf.TemporaryError(f"unexpected {where}", delay=_RETRY) from None
