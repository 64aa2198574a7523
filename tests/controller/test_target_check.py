"""What a check of a target says of its servers, and of what it could not check."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.controller.target_check import check_target
from queue_recovery.diagnosis.stuck_evidence import Tail
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import BrokerHealth, Held, Unacked
from queue_recovery.recovery.ports.environment import Environment

SPEC = {
    "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
    "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
}
STORE = {
    "mongodb": {"urlSecretRef": {"name": "mongo", "key": "url"}, "database": "app", "collection": "jobs"},
}
INVALID = "invalid"
DENIED = "denied"


async def nothing(*_: object) -> None:
    pass


def server(unverified: str | None, held: Unacked | None = None) -> SimpleNamespace:
    async def check() -> BrokerHealth:
        return BrokerHealth(eviction_policy="noeviction")

    async def depths(_: object) -> tuple[dict[str, int], int]:
        return {"tts": 4}, 0 if held is None else held.total

    async def unacked(_: object) -> Unacked | None:
        return held  # None: nobody has to ask

    async def next_messages(_: object) -> dict[str, dict[int, Tail]]:
        return {"tts": {0: Tail(next=b"a")}}

    return SimpleNamespace(
        unverified=unverified, check=check, depths=depths, unacked=unacked, next_messages=next_messages, aclose=nothing
    )


def environment(
    broker: str | None,
    job_store: str | None,
    *,
    permitted: bool = True,
    held: Unacked | None = None,
    results: Reason | None = None,
) -> Environment:
    """Return one whose servers are healthy and reached in this way.

    INVALID: their URL cannot be used; DENIED: the operator may not read it. `results`: why Celery's cannot be read.
    """

    async def connected(how: str | None, invalid: Reason) -> SimpleNamespace:
        if how == INVALID:
            raise RecoveryError(invalid, "it cannot be used")
        if how == DENIED:
            raise RecoveryError(Reason.FORBIDDEN, "bind the permissions")
        return server(how, held)

    async def check_permissions(*_: object) -> None:
        if not permitted:
            raise RecoveryError(Reason.FORBIDDEN, "may not get secrets; bind the permissions")

    async def connected_results(_: object) -> SimpleNamespace:
        if results is not None:
            raise RecoveryError(results, "they cannot be read")
        return SimpleNamespace(read=nothing, aclose=nothing)

    made = SimpleNamespace(
        results=connected_results,
        now=lambda: datetime(2026, 5, 1, tzinfo=UTC),
        broker=lambda _: connected(broker, Reason.INVALID_BROKER_URL),
        job_store=lambda _: connected(job_store, Reason.INVALID_JOB_STORE_URL),
        check_permissions=check_permissions,
        workers=SimpleNamespace(outline=nothing),
    )
    return cast("Environment", made)


async def seen(broker: str | None, job_store: str | None, *, with_store: bool) -> tuple[Condition, Condition]:
    """Return the conditions TransportVerified and Ready."""
    spec = QueueTargetSpec.model_validate(SPEC | ({"jobStore": STORE} if with_store else {}))
    status = await check_target(spec, QueueTargetStatus(), environment(broker, job_store), generation=1)
    verified = find(status.conditions, ConditionType.TRANSPORT_VERIFIED)
    ready = find(status.conditions, ConditionType.READY)
    assert verified is not None
    assert ready is not None
    return verified, ready


@pytest.mark.parametrize(
    ("broker", "job_store", "with_store", "status", "says"),
    [
        (None, None, True, "True", "verifies"),
        (None, None, False, "True", "verifies"),
        ("without TLS", None, True, "False", "to the broker without TLS, so"),
        ("without TLS", None, False, "False", "Use rediss:// for the broker, and name"),
        (None, "without TLS", True, "False", "Use tls=true for the job store, and name"),
        ("without TLS", "without TLS", True, "False", "to the broker without TLS and to the job store without TLS, so"),
        ("without TLS", "without TLS", True, "False", "Use rediss:// for the broker and tls=true for the job store, "),
        ("without TLS", INVALID, True, "False", "to the broker without TLS, so"),
        (None, INVALID, True, "Unknown", "cannot be used yet"),
        (INVALID, None, False, "Unknown", "cannot be used yet"),
    ],
)
async def test_a_transport_that_is_not_verified_is_said_in_a_condition(
    broker: str | None,
    job_store: str | None,
    with_store: bool,  # noqa: FBT001
    status: str,
    says: str,
) -> None:
    verified, ready = await seen(broker, job_store, with_store=with_store)

    assert verified.status == status
    assert says in verified.message
    assert (ready.status == "True") is (INVALID not in {broker, job_store}), "it is a warning only"


def verdicts(status: QueueTargetStatus) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition."""
    return {condition.type: (condition.status, condition.reason) for condition in status.conditions}


async def looked(broker: str | None, job_store: str | None, *, permitted: bool) -> QueueTargetStatus:
    spec = QueueTargetSpec.model_validate(SPEC | {"jobStore": STORE})
    return await check_target(
        spec, QueueTargetStatus(), environment(broker, job_store, permitted=permitted), generation=1
    )


@pytest.mark.parametrize("permitted", [False, True])
async def test_missing_permissions_are_one_condition_and_all_that_was_not_looked_at_is_unknown(
    permitted: bool,  # noqa: FBT001
) -> None:
    """Where a policy forbids what the permissions would grant, the review of permissions does not know of it."""
    status = await looked(DENIED, DENIED, permitted=permitted)

    assert verdicts(status) == {
        "BrokerReachable": ("Unknown", "NotChecked"),
        "JobStoreReachable": ("Unknown", "NotChecked"),
        "WorkersFound": ("True", "WorkersFound"),
        "Permitted": ("False", "Forbidden"),
        "EvictionSafe": ("Unknown", "NotChecked"),
        "TransportVerified": ("Unknown", "NotChecked"),
        "Stuck": ("Unknown", "NotChecked"),
        "Ready": ("False", "Forbidden"),
    }
    messages = {condition.type: condition.message for condition in status.conditions}
    assert "not checked: the operator lacks permissions" in messages["EvictionSafe"]
    assert messages["Ready"] == messages["Permitted"]


async def test_permissions_that_are_missing_for_the_workers_say_nothing_of_servers_that_answer() -> None:
    found = verdicts(await looked(None, None, permitted=False))

    assert found["BrokerReachable"] == ("True", "Reachable")
    assert found["EvictionSafe"] == ("True", "NoEviction")
    assert found["Ready"] == ("False", "Forbidden")


async def test_eviction_is_not_checked_at_a_broker_that_cannot_be_used() -> None:
    status = await looked(INVALID, None, permitted=True)

    assert verdicts(status)["EvictionSafe"] == ("Unknown", "NotChecked")
    assert verdicts(status)["Ready"] == ("False", "InvalidBrokerURL")
    eviction = find(status.conditions, ConditionType.EVICTION_SAFE)
    assert eviction is not None
    assert "See the condition BrokerReachable" in eviction.message


async def test_what_workers_hold_is_shown_for_each_queue() -> None:
    held = Held(count=3, since=datetime(2026, 4, 30, 23, 0, 0, 500_000, tzinfo=UTC))
    found = Unacked(total=10, queues={"tts": held}, not_counted=2)
    made = environment(None, None, held=found)

    status = await check_target(QueueTargetSpec.model_validate(SPEC), QueueTargetStatus(), made, generation=1)

    shown = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert shown["depth"] == "tts=4+3 (2 more unacked, not counted)"
    assert shown["queues"] == [{"name": "tts", "ready": 4, "unacked": 3, "oldestUnackedTime": "2026-04-30T23:00:00Z"}]
    assert (shown["unacked"], shown["unackedNotCounted"]) == (10, 2)
    assert shown["oldestUnackedTime"] == "2026-04-30T23:00:00Z"


async def test_where_workers_hold_nothing_the_status_tells_of_no_time() -> None:
    status = await check_target(
        QueueTargetSpec.model_validate(SPEC), QueueTargetStatus(), environment(None, None), generation=1
    )

    shown = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert shown["depth"] == "tts=4"
    assert shown["queues"] == [{"name": "tts", "ready": 4, "unacked": 0}]
    assert shown["unacked"] == 0
    assert not {"unackedNotCounted", "oldestUnackedTime"} & shown.keys()


async def test_a_server_that_cannot_be_used_is_named_with_the_secret_and_the_key_of_its_url() -> None:
    spec = QueueTargetSpec.model_validate(SPEC | {"jobStore": STORE})

    status = await check_target(spec, QueueTargetStatus(), environment(INVALID, INVALID), generation=1)

    broker = find(status.conditions, ConditionType.BROKER_REACHABLE)
    job_store = find(status.conditions, ConditionType.JOB_STORE_REACHABLE)
    assert broker is not None
    assert job_store is not None
    assert broker.message == 'it cannot be used. The URL is in Secret "redis", key "url"'
    assert job_store.message == 'it cannot be used. The URL is in Secret "mongo", key "url"'


RESULTS = {"diagnosis": {"results": {"urlSecretRef": {"name": "results", "key": "url"}}}}
OF_THE_BROKER: Mapping[str, object] = {"diagnosis": {"results": {}}}


@pytest.mark.parametrize(
    ("diagnosis", "broker", "results", "evidence", "ready"),
    [
        (RESULTS, None, None, ("True", "EvidenceReadable"), ("True", "Usable")),
        (RESULTS, None, Reason.SECRET_NOT_FOUND, ("False", "SecretNotFound"), ("True", "Usable")),
        (RESULTS, None, Reason.FORBIDDEN, ("False", "Forbidden"), ("True", "Usable")),
        (RESULTS, DENIED, Reason.FORBIDDEN, ("Unknown", "NotChecked"), ("False", "Forbidden")),
        (RESULTS, INVALID, None, ("True", "EvidenceReadable"), ("False", "InvalidBrokerURL")),
        (OF_THE_BROKER, INVALID, None, ("Unknown", "NotChecked"), ("False", "InvalidBrokerURL")),
        (OF_THE_BROKER, DENIED, None, ("Unknown", "NotChecked"), ("False", "Forbidden")),
        ({}, None, None, None, ("True", "Usable")),
    ],
)
async def test_evidence_that_cannot_be_read_is_a_warning_and_a_permission_is_told_once(
    diagnosis: Mapping[str, object],
    broker: str | None,
    results: Reason | None,
    evidence: tuple[str, str] | None,
    ready: tuple[str, str],
) -> None:
    """The Secret of the results is the only one without which recoveries run, so it does not count for `Permitted`."""
    spec = QueueTargetSpec.model_validate({**SPEC, **diagnosis})

    status = await check_target(spec, QueueTargetStatus(), environment(broker, None, results=results), generation=1)

    assert verdicts(status).get("EvidenceReadable") == evidence
    assert verdicts(status)["Ready"] == ready
    if broker == DENIED:
        told = find(status.conditions, ConditionType.EVIDENCE_READABLE)
        assert told is not None
        assert "See the condition Permitted" in told.message
