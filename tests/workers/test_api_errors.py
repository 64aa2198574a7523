"""What each error of the API server means, in whichever room it is met."""

import aiohttp
import pytest
from kubernetes.aio.client import ApiException
from pydantic import BaseModel, ValidationError

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.api_errors import to_recovery_error, translated_failures
from queue_recovery.workers.permissions import ServiceAccount, forbidden

SECRET = "s3cret-of-a-webhook"


class Gone(Exception):
    pass


def not_an_object() -> ValidationError:
    class Anything(BaseModel):
        name: str

    try:
        Anything.model_validate({})
    except ValidationError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "kind", "reason", "says"),
    [
        (ApiException(401), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "refuses the operator's token (401)"),
        (ApiException(403), RecoveryError, Reason.FORBIDDEN, "kubectl apply -k manifests/operator"),
        (ApiException(409), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "answers 409. Trying again"),
        (
            ApiException(422),
            RecoveryError,
            Reason.KUBERNETES_UNAVAILABLE,
            "which admission policy or webhook denies it",
        ),
        (ApiException(429), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "answers 429. Trying again"),
        (ApiException(503), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "answers 503. Trying again"),
        (TimeoutError(), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "does not answer in time"),
        (aiohttp.ServerTimeoutError(), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "does not answer in time"),
        (ConnectionRefusedError(), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "cannot be reached"),
        (aiohttp.ServerDisconnectedError(), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "cannot be reached"),
        (not_an_object(), RecoveryError, Reason.KUBERNETES_UNAVAILABLE, "not a Kubernetes object"),
    ],
)
def test_an_error_has_one_reason_and_one_message(
    error: Exception, kind: type[RecoveryError], reason: Reason, says: str
) -> None:
    found = to_recovery_error(error)

    assert isinstance(found, kind)
    assert found.reason == reason
    assert says in found.message


def test_a_missing_permission_in_a_namespace_names_the_binding_of_that_namespace() -> None:
    remedy = forbidden("media", ServiceAccount())

    assert to_recovery_error(ApiException(403), forbidden=remedy) is remedy


@pytest.mark.parametrize(("status", "reason"), [(422, "WorkerWriteRefused"), (503, "KubernetesUnavailable")])
def test_a_refused_write_to_a_deployment_has_a_reason_of_its_own(status: int, reason: str) -> None:
    assert to_recovery_error(ApiException(status), refused=Reason.WORKER_WRITE_REFUSED).reason == reason


@pytest.mark.parametrize(
    ("status", "raised"),
    [(404, Gone), (409, ApiException), (403, RecoveryError), (500, RecoveryError), (400, RecoveryError)],
)
def test_the_statuses_that_a_caller_expects_are_not_translated(status: int, raised: type[Exception]) -> None:
    with pytest.raises(raised), translated_failures(not_found=Gone, expected=(409,)):
        raise ApiException(status)


def test_no_text_of_the_server_is_passed_on() -> None:
    with pytest.raises(RecoveryError) as caught, translated_failures():
        raise ApiException(500, SECRET, body=SECRET)

    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__
