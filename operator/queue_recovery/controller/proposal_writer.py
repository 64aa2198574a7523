"""Creates proposed recoveries in the API server."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import TypeAdapter

from queue_recovery.api.approval import AUTHOR
from queue_recovery.api.base import API_VERSION, GROUP, VERSION, Sentence
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.stuck import EVIDENCE, PROPOSED_FOR
from queue_recovery.controller.resource import PLURAL
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Gone
from queue_recovery.workers.api_errors import API_ERRORS, to_recovery_error, translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS
from queue_recovery.workers.permissions import TENANT_ROLE, ServiceAccount

_SENTENCE: Final = TypeAdapter[str](Sentence)
"""One printable line: a task's name in it may be any text."""


def proposal_body(
    name: str, spec: QueueRecoverySpec, *, cause: Reason, evidence: str, account: ServiceAccount
) -> Mapping[str, Any]:
    """Return a proposal as the API server takes it.

    The target does not own it: what a recovery has taken has to be found once the target is deleted.

    Args:
        name: of the recovery.
        spec: of the recovery.
        cause: why the queue is stuck.
        evidence: what was seen.
        account: the ServiceAccount that creates it. A target may want to know who did (`authorMayApprove`).
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "QueueRecovery",
        "metadata": {
            "name": name,
            "labels": {PROPOSED_FOR: cause.value},
            "annotations": {EVIDENCE: _SENTENCE.validate_python(evidence), AUTHOR: account.user},
        },
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }


class ProposalWriter(Protocol):
    """Creates and reads recoveries."""

    account: ServiceAccount
    """Who creates them."""

    async def create(self, namespace: str, body: Mapping[str, Any]) -> bool:
        """Create a recovery; return False if there is one of that name. Raises RecoveryError."""
        ...

    async def read(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return a recovery, or None if there is none of that name; raises RecoveryError."""
        ...


class KubernetesProposalWriter:
    """Creates and reads recoveries in the API server."""

    def __init__(self, api: ApiClient, account: ServiceAccount) -> None:
        """Take the connection, and the ServiceAccount that the operator runs as."""
        self._api = CustomObjectsApi(api)
        self.account = account

    async def create(self, namespace: str, body: Mapping[str, Any]) -> bool:
        """See `ProposalWriter`; a refusal is `ProposalRefused`."""
        try:
            await self._api.create_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, dict(body), _request_timeout=REQUEST_SECONDS
            )
        except API_ERRORS as error:
            if isinstance(error, ApiException) and error.status == HTTPStatus.CONFLICT:
                return False
            raise self._refusal(error, namespace) from None
        return True

    async def read(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """See `ProposalWriter`."""
        try:
            with translated_failures(not_found=Gone):
                found = await self._api.get_namespaced_custom_object(
                    GROUP, VERSION, namespace, PLURAL, name, _request_timeout=REQUEST_SECONDS
                )
        except Gone:
            return None
        return cast("Mapping[str, Any]", found)

    def _refusal(self, error: Exception, namespace: str) -> RecoveryError:
        """Return the error for a recovery that is not created, with the API server's own text, if it refuses it.

        That names the quota or the policy. Any user who creates the same recovery is told the same.
        """
        found = to_recovery_error(error, forbidden=self._forbidden(namespace), refused=Reason.PROPOSAL_REFUSED)
        said = _said(error) if found.reason == Reason.PROPOSAL_REFUSED else ""
        return RecoveryError(found.reason, f"{found.message}. The API server says: {said}") if said else found

    def _forbidden(self, namespace: str) -> RecoveryError:
        account = f"{self.account.namespace}:{self.account.name}"
        return RecoveryError(
            Reason.PROPOSAL_REFUSED,
            "the API server does not let the operator create a proposed recovery (403). The ClusterRole "
            f"{TENANT_ROLE} of this version grants it: kubectl create rolebinding queue-recovery "
            f"--clusterrole={TENANT_ROLE} --serviceaccount={account} -n {namespace}. If that is bound, a quota or an "
            "admission policy refuses it",
        )


def _said(error: Exception) -> str:
    """Return the message in an answer of the API server, as one printable line that is not too long; empty: none."""
    try:
        said = json.loads(getattr(error, "body", None) or "")["message"]
    except (TypeError, ValueError, KeyError):
        return ""
    return _SENTENCE.validate_python(said) if isinstance(said, str) else ""
