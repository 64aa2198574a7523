"""What a recovery is told when the API server refuses or does not answer, and what it is not told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Workers
from queue_recovery.workers import namespace
from queue_recovery.workers.permissions import Permissions, permissions_for
from queue_recovery.workers.snapshot import note_labels
from sandbox.processes import free_port
from tests.sample_worker import WORKER, ref
from tests.workers.fleet import RUN, note, workers_of
from tests.workers.scripted_api import DEPLOYMENT, Handler, Json, scripted

SECRET = "s3cret-of-a-webhook"
SEEN = replace(WORKER, generation=1, replicas=1, pods=1)


async def look(workers: Workers) -> object:
    return await workers.look([ref("worker")])


async def follow(workers: Workers) -> object:
    return await anext(workers.follow([ref("worker")]))


async def scale(workers: Workers) -> None:
    await workers.scale_to_zero(SEEN, note(1))


async def restore(workers: Workers) -> object:
    return await workers.scale_back(ref("worker"), "d", RUN)


async def restart(workers: Workers) -> None:
    await workers.restart(SEEN, "2030-01-01T00:00:00Z")


CALLS = [look, follow, scale, restore, restart]


def answering(status: int) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "code": status, "message": SECRET}, status=status)

    return handle


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (401, RecoveryError, Reason.KUBERNETES_UNAVAILABLE),
        (403, RecoveryError, Reason.FORBIDDEN),
        (429, RecoveryError, Reason.KUBERNETES_UNAVAILABLE),
        (500, RecoveryError, Reason.KUBERNETES_UNAVAILABLE),
        (503, RecoveryError, Reason.KUBERNETES_UNAVAILABLE),
        (422, RecoveryError, Reason.WORKER_WRITE_REFUSED),
    ],
)
async def test_an_answer_is_named_by_its_code_and_its_text_is_not_passed_on(
    call: Callable[[Workers], Awaitable[object]], status: int, kind: type[RecoveryError], reason: Reason
) -> None:
    async with scripted(answering(status)) as api:
        with pytest.raises(kind) as caught:
            await call(workers_of(api.client))

    assert caught.value.reason == reason
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_is_no_kubernetes_object_comes_from_something_else(
    call: Callable[[Workers], Awaitable[object]],
) -> None:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Please log in</html>")

    async with scripted(handle) as api:
        with pytest.raises(RecoveryError) as caught:
            await call(workers_of(api.client))

    assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_is_away_is_unavailable(call: Callable[[Workers], Awaitable[object]]) -> None:
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{free_port()}")) as client:
        with pytest.raises(RecoveryError) as caught:
            await call(workers_of(client))

    assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_never_answers_is_given_up(
    call: Callable[[Workers], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace, "REQUEST_SECONDS", 0.1)

    async def handle(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with scripted(handle) as api:
        with pytest.raises(RecoveryError) as caught:
            await call(workers_of(api.client))

    assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE


async def test_permissions_cannot_be_asked_for_where_nobody_answers() -> None:
    async with scripted(answering(500)) as api:
        with pytest.raises(RecoveryError) as caught:
            await Permissions(api.client, "media").missing(permissions_for(["redis"], [ref()]))

    assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE


def held() -> Json:
    managed = [{"manager": "kubectl"}, {"manager": "queue-recovery"}]
    metadata = {**DEPLOYMENT["metadata"], "labels": note_labels(note(3)), "managedFields": managed}
    return {**DEPLOYMENT, "metadata": metadata, "spec": {**DEPLOYMENT["spec"], "replicas": 0}}


async def test_others_that_write_at_the_same_time_do_not_keep_the_replicas_from_coming_back() -> None:
    conflicts = iter([True, True, True])

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "PATCH" and next(conflicts, False):
            return web.json_response({}, status=409)
        return web.json_response(held())

    async with scripted(handle) as api:
        assert await workers_of(api.client).scale_back(ref("worker"), "d", RUN) == 3


async def test_others_that_write_all_the_time_are_not_fought_indefinitely() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(held(), status=409 if request.method == "PATCH" else 200)

    async with scripted(handle) as api:
        with pytest.raises(RecoveryError) as caught:
            await workers_of(api.client).scale_back(ref("worker"), "d", RUN)

    assert caught.value.reason == Reason.WORKER_CHANGED


@pytest.mark.parametrize("status", [403, 409, 422, 500])
async def test_replicas_are_back_even_if_the_operators_name_cannot_be_removed_from_the_managed_fields(
    status: int,
) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json-patch+json":
            return web.json_response({"message": SECRET}, status=status)
        return web.json_response(held())

    async with scripted(handle) as api:
        assert await workers_of(api.client).scale_back(ref("worker"), "d", RUN) == 3

    tried = [asked.body for asked in api.asked if isinstance(asked.body, list)]
    assert tried
    assert tried[0] == [
        {"op": "test", "path": "/metadata/managedFields/1/manager", "value": "queue-recovery"},
        {"op": "remove", "path": "/metadata/managedFields/1"},
    ]


async def test_the_operators_name_is_removed_later_if_the_server_is_away_after_the_replicas_are_back() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.content_type if request.method == "PATCH" else request.method)
        if len(asked) in {3, 4}:  # it is away after the first write, which has brought the replicas back
            return web.json_response({}, status=503)
        return web.json_response(held())

    async with scripted(handle) as api:
        workers = workers_of(api.client)
        with pytest.raises(RecoveryError) as caught:
            await workers.scale_back(ref("worker"), "d", RUN)
        assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE
        await workers.scale_back(ref("worker"), "d", RUN)

    assert asked[2:4] == ["application/json-patch+json", "GET"]
    assert asked[-1] == "application/json-patch+json"
