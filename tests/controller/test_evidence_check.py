"""A target tells before an incident that what its `diagnosis` names cannot be read, and is ready all the same."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.reasons import Reason
from queue_recovery.controller import evidence_check
from queue_recovery.controller.evidence_check import check_evidence
from queue_recovery.controller.target_conditions import NO_BROKER, Verdict, evidence_verdict
from queue_recovery.diagnosis.evidence import TaskResult
from queue_recovery.recovery.destinations import address_not_allowed
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.origins import of_results
from tests.controller.environments import GivenSecrets, environment_of
from tests.recovery.fakes import FakeEnvironment, target

VALID = {"message": "quota", "verdict": "Transient"}
INVALID = {"message": "[[]Errno 111[]]", "verdict": "Transient"}
"""The API server's CEL accepts it, with other brackets than Rust's `regex`."""

THEIR_OWN = {"results": {"urlSecretRef": {"name": "results", "key": "uri"}}}
OF_THE_BROKER: Mapping[str, object] = {"results": {}}
WHERE = '. The URL is in Secret "results", key "uri" (spec.diagnosis.results.urlSecretRef)'
READ: Verdict = ("True", Reason.EVIDENCE_READABLE, "Celery's results can be read")
AWAY: Verdict = ("False", Reason.BROKER_UNAVAILABLE, "it is away")


@pytest.mark.parametrize(
    ("invalid_rules", "results", "status", "reason", "says"),
    [
        ([], None, "True", "EvidenceReadable", "can be read"),
        ([], READ, "True", "EvidenceReadable", "can be read"),
        ([], NO_BROKER, "Unknown", "NotChecked", "See the condition BrokerReachable"),
        ([], AWAY, "False", "BrokerUnavailable", "it is away"),
        ([1], None, "False", "InvalidRule", "spec.diagnosis.rules[1]: message is no regular expression"),
        ([0, 2], READ, "False", "InvalidRule", "spec.diagnosis.rules[0], spec.diagnosis.rules[2]: message"),
        ([1], NO_BROKER, "False", "InvalidRule", "Write it in the syntax of Rust's regex"),
        ([1], AWAY, "False", "InvalidRule", "meant literally. it is away"),
    ],
)
def test_rules_and_results_together_are_one_condition(
    invalid_rules: Sequence[int], results: Verdict | None, status: str, reason: str, says: str
) -> None:
    verdict = evidence_verdict(invalid_rules, results)

    assert verdict[:2] == (status, reason)
    assert says in verdict[2]


async def checked(
    diagnosis: Mapping[str, object], environment: FakeEnvironment | None = None, *, is_broker_usable: bool = True
) -> Verdict | None:
    spec = target(diagnosis=diagnosis)
    return await check_evidence(spec, environment or FakeEnvironment(), is_broker_usable=is_broker_usable)


async def test_a_target_without_rules_and_results_has_no_such_condition() -> None:
    assert await checked({}) is None


async def test_valid_rules_and_results_that_can_be_read_are_said_to_be_so() -> None:
    environment = FakeEnvironment()

    assert await checked({"rules": [VALID], **THEIR_OWN}, environment) == (
        "True",
        "EvidenceReadable",
        "what diagnosis names can be read",
    )
    assert environment.fake_results.calls == ["read", "aclose"]


async def test_a_rule_that_only_the_api_server_accepts_is_named() -> None:
    verdict = await checked({"rules": [VALID, INVALID]})

    assert verdict is not None
    assert verdict[:2] == ("False", "InvalidRule")
    assert verdict[2].startswith("spec.diagnosis.rules[1]: ")


@pytest.mark.parametrize("call", ["results", "read"])
@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (
            RecoveryError(Reason.SECRET_NOT_FOUND, 'no Secret "broker.tls". Create it'),
            "SecretNotFound",
            'no Secret "broker.tls". Create it',
        ),
        (
            RecoveryError(Reason.INVALID_BROKER_URL, "the broker's URL has files; see broker.tls"),
            "InvalidBrokerURL",
            f"the server's URL has files; see diagnosis.results.tls{WHERE}",
        ),
        (
            RecoveryError(Reason.BROKER_UNAVAILABLE, "the broker at broker.tls:1 refuses the connection"),
            "BrokerUnavailable",
            f"the server at broker.tls:1 refuses the connection{WHERE}",
        ),
        (
            RecoveryError(Reason.INVALID_CERTIFICATE, "broker.tls.caSecretRef names a Secret without one"),
            "InvalidCertificate",
            f"diagnosis.results.tls.caSecretRef names a Secret without one{WHERE}",
        ),
    ],
)
async def test_results_that_cannot_be_read_name_the_field_and_the_secret(
    error: RecoveryError, reason: str, message: str, call: str
) -> None:
    environment = FakeEnvironment()
    (environment if call == "results" else environment.fake_results).fail_always(call, error)

    assert await checked(THEIR_OWN, environment) == ("False", reason, message)


async def test_an_unexpected_error_is_a_condition_without_its_text() -> None:
    environment = FakeEnvironment()
    environment.fake_results.fail_always("read", ValueError("the card of alice"))

    verdict = await checked(THEIR_OWN, environment)

    assert verdict is not None
    assert verdict[:2] == ("False", "InternalError")
    assert "alice" not in verdict[2]


async def test_results_that_never_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = FakeEnvironment()
    monkeypatch.setattr(evidence_check, "SOURCE_SECONDS", 0.01)

    async def hang(task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
        del task_ids
        return await asyncio.Future[Mapping[str, TaskResult]]()

    monkeypatch.setattr(environment.fake_results, "read", hang)

    verdict = await checked(THEIR_OWN, environment)

    assert verdict is not None
    assert verdict[:2] == ("False", "BrokerUnavailable")
    assert 'Secret "results", key "uri"' in verdict[2]


@pytest.mark.parametrize(("diagnosis", "is_asked"), [(OF_THE_BROKER, False), (THEIR_OWN, True)])
async def test_a_broker_that_cannot_be_used_is_not_asked_again_for_results(
    diagnosis: Mapping[str, object],
    is_asked: bool,  # noqa: FBT001
) -> None:
    environment = FakeEnvironment()

    verdict = await checked(diagnosis, environment, is_broker_usable=False)

    assert verdict is not None
    assert verdict[0] == ("True" if is_asked else "Unknown")
    assert bool(environment.fake_results.calls) is is_asked


def test_results_in_the_brokers_database_name_the_brokers_secret_and_what_to_grant() -> None:
    spec = target(diagnosis=OF_THE_BROKER)
    error = RecoveryError(Reason.BROKER_PERMISSION_DENIED, "the broker's ACL forbids a key: unacked")

    message = of_results(error, spec).message

    assert "+getrange" in message
    assert "unacked" not in message
    assert message.endswith('. The URL is in Secret "redis", key "url"')
    assert of_results(address_not_allowed("broker"), target(diagnosis=THEIR_OWN)).message.endswith(WHERE)


@pytest.mark.parametrize(
    ("url", "reason", "says"),
    [
        ("http://:wqxz@results:6379/0", "InvalidBrokerURL", "does not begin with redis://"),
        ("redis://:wqxz@127.0.0.1:1/0", "BrokerUnavailable", "refuses the connection"),
    ],
)
async def test_of_a_wrong_url_and_a_dead_server_the_condition_tells_without_the_password(
    url: str, reason: str, says: str
) -> None:
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as api:
        environment = environment_of(api, secrets=GivenSecrets(api, {"results": {"uri": url}}))

        verdict = await check_evidence(target(diagnosis=THEIR_OWN), environment, is_broker_usable=True)

    assert verdict is not None
    assert verdict[:2] == ("False", reason)
    assert says in verdict[2]
    assert verdict[2].endswith(WHERE)
    assert "wqxz" not in verdict[2]
