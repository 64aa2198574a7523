"""Reads a QueueTarget for the recoveries of its namespace."""

from http import HTTPStatus

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import BaseModel, ValidationError

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.recovery.errors import AwaitingChange
from queue_recovery.recovery.ports.environment import TargetReport
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS


class Metadata(BaseModel):
    """What is read of an object's metadata."""

    uid: str
    generation: int = 0


class _NamedLedger(BaseModel):
    ledger: str | None = None


class Target(BaseModel):
    """What a recovery reads of its target: a status that another version has written does not matter."""

    metadata: Metadata
    spec: QueueTargetSpec
    status: _NamedLedger = _NamedLedger()


class _Reported(BaseModel):
    """What a check has written, with the generation of the spec that is there now."""

    metadata: Metadata
    status: QueueTargetStatus = QueueTargetStatus()


def report_of(body: object) -> TargetReport:
    """Return what a target's status reports, and whether that is of its spec. Pure."""
    try:
        found = _Reported.model_validate(body)
    except ValidationError:  # another version has written it
        return TargetReport(status=QueueTargetStatus(), is_current=False)
    return TargetReport(status=found.status, is_current=found.status.observed_generation == found.metadata.generation)


async def read_target(api: ApiClient, namespace: str, name: str) -> object:
    """Return the body of a QueueTarget; raises RecoveryError (`TargetNotFound`, or that the API server is away)."""
    try:
        with translated_failures(expected=(HTTPStatus.NOT_FOUND,)):
            return await CustomObjectsApi(api).get_namespaced_custom_object(
                GROUP, VERSION, namespace, "queuetargets", name, _request_timeout=REQUEST_SECONDS
            )
    except ApiException:
        raise AwaitingChange(
            Reason.TARGET_NOT_FOUND,
            f'namespace "{namespace}" has no QueueTarget "{name}". Create it, or list those that exist: '
            f"kubectl get queuetargets -n {namespace}",
        ) from None
