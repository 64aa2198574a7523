"""How the API server's refusal of a proposal is told."""

import json

import pytest
from kubernetes.aio.client import ApiClient, ApiException, Configuration, CustomObjectsApi

from queue_recovery.controller.proposal_writer import KubernetesProposalWriter
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.permissions import ServiceAccount

QUOTA = (
    'queuerecoveries.queuerecovery.dev "a" is forbidden: exceeded quota: tight, requested: '
    "count/queuerecoveries.queuerecovery.dev=1, used: count/queuerecoveries.queuerecovery.dev=3, limited: "
    "count/queuerecoveries.queuerecovery.dev=3"
)


async def refusal(monkeypatch: pytest.MonkeyPatch, status: int, body: str | None) -> RecoveryError:
    """Return the error for an answer of the API server."""

    async def answers(*_: object, **__: object) -> None:
        error = ApiException(status=status)
        error.body = body
        raise error

    monkeypatch.setattr(CustomObjectsApi, "create_namespaced_custom_object", answers)
    async with ApiClient(Configuration()) as api:
        with pytest.raises(RecoveryError) as raised:
            await KubernetesProposalWriter(api, ServiceAccount()).create("here", {})
    return raised.value


@pytest.mark.parametrize("status", [403, 422])
async def test_a_refusal_says_what_the_api_server_says(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    error = await refusal(monkeypatch, status, json.dumps({"kind": "Status", "message": QUOTA}))

    assert error.reason == "ProposalRefused"
    assert f"({status})" in error.message
    assert error.message.endswith(f". The API server says: {QUOTA}")
    assert len(error.message) <= 1024, "the note of an event"


@pytest.mark.parametrize("body", [None, "", "<html>", "[]", "{}", "null", '{"message": 7}', '{"message": ""}'])
async def test_an_answer_without_a_message_is_a_refusal_all_the_same(
    monkeypatch: pytest.MonkeyPatch, body: str | None
) -> None:
    error = await refusal(monkeypatch, 403, body)

    assert error.reason == "ProposalRefused"
    assert "The API server says" not in error.message


async def test_what_a_webhook_answers_is_one_printable_line_that_fits_into_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = await refusal(monkeypatch, 403, json.dumps({"message": "no\x1b[31m\nway\u202e" + "a" * 10**6}))

    assert "The API server says: no [31m way aaa" in error.message
    assert error.message.isprintable()
    assert len(error.message) <= 1024


async def test_an_api_server_that_is_busy_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refusal(monkeypatch, 503, json.dumps({"message": "alice"}))

    assert error.reason == "KubernetesUnavailable"
    assert "alice" not in error.message
