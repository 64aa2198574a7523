"""Lists are read in pages, so neither the number nor the size of a namespace's objects occupies the operator."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Worker
from tests.sample_worker import ref
from tests.workers.fleet import workers_of
from tests.workers.scripted_api import DEPLOYMENT, REPLICA_SET, Json, listed, pod, scripted


@dataclass
class Pages:
    """An API server that lists pods in pages, as the real one does."""

    pods: Sequence[Json]
    expires: int = 0
    """How many times it says that it does not have the next page any more."""
    asked: list[tuple[int, int]] = field(default_factory=list)
    """The pages of the pods that were asked for: the limit, and the first pod."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        resource = request.path.rpartition("/")[2]
        if resource != "pods":
            return listed({"deployments": DEPLOYMENT, "replicasets": REPLICA_SET}[resource])
        limit, start = int(request.query["limit"]), int(request.query.get("continue") or 0)
        self.asked.append((limit, start))
        if start and self.expires:
            self.expires -= 1
            return web.Response(status=410)
        page, rest = self.pods[start : start + limit], self.pods[start + limit :]
        metadata = {"resourceVersion": "10", **({"continue": str(start + limit)} if rest else {})}
        return web.json_response({"metadata": metadata, "items": page})


async def look(pages: Pages) -> Worker:
    async with scripted(pages.handle) as api:
        (worker,) = await workers_of(api.client).look([ref("worker")])
    return worker


def large(name: str, size: int) -> Json:
    return {**pod(name), "spec": {"containers": [{"name": "main", "env": [{"name": "X", "value": "x" * size}]}]}}


async def test_a_list_is_read_to_its_end_in_pages_of_a_hundred() -> None:
    pages = Pages([pod(f"p-{number}") for number in range(250)])

    worker = await look(pages)

    assert (worker.pods, pages.asked) == (250, [(100, 0), (100, 100), (100, 200)])


async def test_large_objects_are_read_in_smaller_pages_and_small_ones_after_them_in_larger_ones_again() -> None:
    ones = [large(f"p-{number}", 500_000) for number in range(8)]
    pages = Pages([*ones, *(pod(f"q-{number}") for number in range(300))])

    worker = await look(pages)

    assert worker.pods == 308
    assert pages.asked[:5] == [(100, 0), (25, 0), (6, 0), (1, 0), (1, 1)]
    assert max(limit for limit, start in pages.asked if start > 8) == 100


async def test_a_list_whose_rest_is_not_there_any_more_is_begun_again() -> None:
    pages = Pages([pod(f"p-{number}") for number in range(150)], expires=2)

    worker = await look(pages)

    assert (worker.pods, pages.asked) == (150, [(100, 0), (100, 100)] * 3)


async def test_a_server_that_never_has_the_rest_is_unavailable() -> None:
    pages = Pages([pod(f"p-{number}") for number in range(150)], expires=99)

    with pytest.raises(RecoveryError) as caught:
        await look(pages)

    assert caught.value.reason is Reason.KUBERNETES_UNAVAILABLE
    assert len(pages.asked) == 6


async def test_an_object_that_is_larger_than_the_api_server_stores_is_not_read() -> None:
    with pytest.raises(RecoveryError, match="more than 2 MiB, which is not read"):
        await look(Pages([large("p", 2 * 2**20)]))
