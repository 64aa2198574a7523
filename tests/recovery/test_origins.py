"""An error that is about a server's URL says in which Secret the URL is."""

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.destinations import address_not_allowed
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.origins import with_origin

TARGET = QueueTargetSpec.model_validate(
    {
        "broker": {"urlSecretRef": {"name": "redis", "key": "broker-url"}},
        "jobStore": {
            "mongodb": {"urlSecretRef": {"name": "mongo", "key": "uri"}, "database": "app", "collection": "jobs"}
        },
        "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
    }
)
BROKER = '. The URL is in Secret "redis", key "broker-url"'
JOB_STORE = '. The URL is in Secret "mongo", key "uri"'


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RecoveryError(Reason.BROKER_UNAVAILABLE, "it is away; wait"), f"it is away; wait{BROKER}"),
        (RecoveryError(Reason.INVALID_BROKER_URL, "it is none. Correct it."), f"it is none. Correct it{BROKER}"),
        (RecoveryError(Reason.JOB_STORE_AUTHENTICATION_FAILED, "refused"), f"refused{JOB_STORE}"),
    ],
)
def test_an_error_about_a_url_names_its_secret_and_its_key(error: RecoveryError, says: str) -> None:
    explained = with_origin(error, TARGET)

    assert explained.message == says
    assert (type(explained), explained.reason) == (type(error), error.reason)


def test_an_address_that_is_not_allowed_names_the_secret_of_its_own_server() -> None:
    assert with_origin(address_not_allowed("broker"), TARGET).message.endswith(BROKER)
    assert with_origin(address_not_allowed("job store"), TARGET).message.endswith(JOB_STORE)


def test_an_error_about_something_else_is_left_as_it_is() -> None:
    other = RecoveryError(Reason.DUPLICATE_JOB, "listed twice")
    early = RecoveryError(Reason.BROKER_UNAVAILABLE, "it is away")
    no_store = RecoveryError(Reason.JOB_STORE_UNAVAILABLE, "it is away")

    assert with_origin(other, TARGET) is other
    assert with_origin(early, None) is early
    assert with_origin(no_store, TARGET.model_copy(update={"job_store": None})) is no_store


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_of_a_broker_or_a_job_store_names_its_secret(reason: Reason) -> None:
    """One that is added later is decided on here."""
    about_no_url = {
        Reason.BROKER_LOST_DATA,
        Reason.INVALID_JOB_STORE_NAME,
        Reason.JOB_STORE_NOT_CONFIGURED,
        Reason.JOB_STORE_RELEASE_REFUSED,
        Reason.JOB_STORE_WRITE_REFUSED,
    }
    server = next((JOB_STORE for part in ("JobStore",) if part in reason), BROKER if "Broker" in reason else "")
    if reason == Reason.PRIMARY_NOT_FOUND:
        server = BROKER

    explained = with_origin(RecoveryError(reason, "wrong"), TARGET)

    assert explained.message == f"wrong{'' if reason in about_no_url else server}"
