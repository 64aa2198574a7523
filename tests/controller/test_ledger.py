"""The ledger of a namespace, in the ConfigMap of a real API server."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from time import process_time
from typing import Any

import pytest
import pytest_asyncio
from kubernetes.aio.client import ApiClient

from queue_recovery.api.ledger import LEDGER, LedgerEntry
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller import ledger as ledger_module
from queue_recovery.controller.ledger import MOST_BYTES, MOST_KEYS, MOST_REMOVED, ConfigMapLedger
from queue_recovery.controller.target_monitor import store_status
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Superseded
from queue_recovery.workers.permissions import ServiceAccount, forbidden
from sandbox.api import Api, Json
from sandbox.cluster import Sandbox
from tests.workers.fleet import connected

ENTRY = LedgerEntry(uid="first", start_time="2026-05-01T03:00:00Z")
EXECUTED = ENTRY.model_copy(update={"executed": True})


class Namespace:
    """A namespace with a target, as its owner sees it."""

    def __init__(self, api: Api, client: ApiClient, namespace: str) -> None:
        self.api = api
        self.client = client
        self.name = namespace
        self.maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self.targets = f"/apis/queuerecovery.dev/v1alpha1/namespaces/{namespace}/queuetargets"
        self.named_by: set[str] = set()

    async def create_target(self, name: str) -> Json:
        reference = {"name": "redis", "key": "url"}
        spec = {"broker": {"urlSecretRef": reference}, "queues": [{"name": "work", "workers": [{"name": "worker"}]}]}
        body = {
            "apiVersion": "queuerecovery.dev/v1alpha1",
            "kind": "QueueTarget",
            "metadata": {"name": name},
            "spec": spec,
        }
        return await self.api.create(self.targets, body)

    def ledger(self, key: str = "stuck.0123", *, target: str = "team") -> ConfigMapLedger:
        """Return the entry as another process sees it."""
        denied = forbidden(self.name, ServiceAccount())
        return ConfigMapLedger(self.client, self.name, key, target=target, named_by=self.named_by, forbidden=denied)

    async def data(self) -> Mapping[str, str]:
        found: Mapping[str, str] = (await self.api.get(f"{self.maps}/{LEDGER}")).get("data", {})
        return found

    async def create_map(self, **fields: object) -> None:
        await self.api.create(self.maps, {"metadata": {"name": LEDGER}, **fields})

    async def delete_map(self) -> None:
        await self.api.delete(f"{self.maps}/{LEDGER}", {})


@pytest_asyncio.fixture(loop_scope="session")
async def owner(sandbox: Sandbox, definitions: None, namespace: str) -> AsyncIterator[Namespace]:
    del definitions
    async with Api(sandbox.control_plane.admin) as api, connected(sandbox.kubeconfig) as client:
        made = Namespace(api, client, namespace)
        await made.create_target("team")
        yield made


async def test_a_namespace_without_a_ledger_has_no_entry(owner: Namespace) -> None:
    assert await owner.ledger().read() is None


async def test_every_process_reads_what_one_has_written(owner: Namespace) -> None:
    ledger = owner.ledger()
    for entry in (ENTRY, EXECUTED):
        await ledger.write(entry)
        assert await owner.ledger().read() == entry
    assert await owner.ledger("other.0123").read() is None

    await ledger.write(None)
    assert await owner.ledger().read() is None


@pytest.mark.parametrize("known", [None, ENTRY])
async def test_an_entry_that_another_process_has_changed_is_not_overwritten(
    owner: Namespace, known: LedgerEntry | None
) -> None:
    if known is not None:
        await owner.ledger().write(known)
    late = owner.ledger()
    assert await late.read() == known
    await owner.ledger().write(EXECUTED)

    with pytest.raises(Superseded):
        await late.write(ENTRY.model_copy(update={"uid": "second"}))

    assert await late.read() == EXECUTED


async def test_a_write_that_is_given_up_may_have_taken_place_and_does_not_hinder_the_next_one(
    owner: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = owner.ledger()
    await ledger.write(ENTRY)
    answered = ApiClient.call_api

    async def give_up(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- as those of the client
        (await answered(*arguments, **options)).close()
        raise asyncio.CancelledError

    with monkeypatch.context() as lost:
        lost.setattr(ApiClient, "call_api", give_up)
        with pytest.raises(asyncio.CancelledError):
            await ledger.write(EXECUTED)

    assert await ledger.read() == EXECUTED
    await ledger.write(None)
    assert await owner.ledger().read() is None


async def test_entries_of_other_recoveries_may_change_in_between(owner: Namespace) -> None:
    await owner.ledger("before.1").write(ENTRY)
    late = owner.ledger()
    await late.read()
    await owner.ledger("other.0123").write(ENTRY)

    await late.write(EXECUTED)

    assert set(await owner.data()) == {"before.1", "other.0123", "stuck.0123"}


async def test_two_processes_that_create_the_ledger_at_once_lose_no_entry(owner: Namespace) -> None:
    late = owner.ledger()
    await late.read()
    await owner.ledger("other.0123").write(ENTRY)

    with pytest.raises(Superseded):
        await late.write(ENTRY)
    await late.write(ENTRY)

    assert set(await owner.data()) == {"other.0123", "stuck.0123"}


@pytest.mark.parametrize("target", ["team", "other-team"])
async def test_a_deleted_ledger_is_lost_and_not_empty(owner: Namespace, target: str) -> None:
    await owner.create_target("other-team")
    await owner.ledger().write(EXECUTED)
    await owner.delete_map()

    with pytest.raises(RecoveryError, match="create an empty one: kubectl create configmap") as raised:
        await owner.ledger(target=target).read()

    assert raised.value.reason == "LedgerLost"


async def test_a_ledger_that_is_deleted_during_a_recovery_is_not_created_again(owner: Namespace) -> None:
    ledger = owner.ledger()
    await ledger.write(ENTRY)
    await owner.delete_map()

    with pytest.raises(Superseded):
        await ledger.write(EXECUTED)
    with pytest.raises(RecoveryError, match="LedgerLost"):
        await ledger.write(EXECUTED)


async def test_an_empty_ledger_that_a_user_has_created_takes_the_place_of_the_lost_one(owner: Namespace) -> None:
    await owner.ledger().write(EXECUTED)
    await owner.delete_map()
    await owner.create_map()
    ledger = owner.ledger()

    assert await ledger.read() is None
    await ledger.write(ENTRY)

    assert await owner.ledger().read() == ENTRY


async def test_the_status_of_the_target_names_the_ledger_after_the_first_write_of_any_process(owner: Namespace) -> None:
    await owner.ledger().write(ENTRY)
    await owner.api.patch(f"{owner.targets}/team/status", {"status": {"ledger": None}})  # its writer had died before
    owner.named_by.clear()

    await owner.ledger().write(EXECUTED)

    assert (await owner.api.get(f"{owner.targets}/team"))["status"]["ledger"] == LEDGER


async def test_a_check_of_the_target_does_not_remove_the_name_of_the_ledger(owner: Namespace) -> None:
    body = await owner.api.get(f"{owner.targets}/team")
    assert await store_status(owner.client, body, QueueTargetStatus(depth="work=0"))
    before = await owner.api.get(f"{owner.targets}/team")
    await owner.ledger().write(ENTRY)

    assert not await store_status(owner.client, before, QueueTargetStatus(depth="work=1"))

    assert (await owner.api.get(f"{owner.targets}/team"))["status"]["ledger"] == LEDGER


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"uid": 1}', "x"])
async def test_an_entry_that_cannot_be_read_is_not_taken_for_none(owner: Namespace, text: str) -> None:
    await owner.create_map(data={"stuck.0123": text})
    ledger = owner.ledger()

    with pytest.raises(RecoveryError, match=r'key "stuck\.0123"') as raised:
        await ledger.read()
    assert raised.value.reason == "LedgerUnreadable"

    await owner.api.patch(f"{owner.maps}/{LEDGER}", {"data": {"stuck.0123": None}})
    assert await ledger.read() is None


async def test_an_immutable_ledger_is_named(owner: Namespace) -> None:
    await owner.create_map(immutable=True, data={"other.1": EXECUTED.model_dump_json(by_alias=True)})

    with pytest.raises(RecoveryError, match="immutable") as raised:
        await owner.ledger().write(ENTRY)

    assert raised.value.reason == "LedgerRefused"


async def test_the_oldest_entries_make_room_for_new_ones(owner: Namespace) -> None:
    size = MOST_BYTES // 3
    data = {f"old-{day}.1": entry_of_size(size, f"2026-04-0{day}T00:00:00Z") for day in (1, 2)}
    await owner.create_map(data={**data, "rubbish": "x" * size})

    await owner.ledger("first.1").write(ENTRY)
    assert set(await owner.data()) == {*data, "first.1"}

    await owner.api.patch(f"{owner.maps}/{LEDGER}", {"data": {"new.1": entry_of_size(size, "2026-05-02T00:00:00Z")}})
    await owner.ledger("second.1").write(ENTRY)
    assert set(await owner.data()) == {"old-2.1", "new.1", "first.1", "second.1"}


async def test_thousands_of_small_keys_make_room_bit_by_bit_while_other_work_goes_on(owner: Namespace) -> None:
    rubbish = {f"{number:04}": "{" for number in range(MOST_KEYS - 2)}
    filler = entry_of_size(MOST_BYTES, "2026-04-01T00:00:00Z")
    await owner.create_map(data={**rubbish, "filler.1": filler})
    ledger = owner.ledger()
    await ledger.read()
    longest, last = 0.0, process_time()

    async def measure() -> None:
        nonlocal longest, last
        while True:
            last = process_time()
            await asyncio.sleep(0)
            longest = max(longest, process_time() - last)

    measuring = asyncio.ensure_future(measure())
    await ledger.write(ENTRY)
    measuring.cancel()

    left = await owner.data()
    assert len(rubbish) - len(left.keys() & rubbish.keys()) == MOST_REMOVED
    assert (left["filler.1"], await owner.ledger().read()) == (filler, ENTRY)
    assert longest < 0.05


async def test_a_ledger_with_more_keys_than_recoveries_leave_is_not_read(owner: Namespace) -> None:
    await owner.create_map(data={f"{number:05}": "{" for number in range(MOST_KEYS + 1)})
    ledger = owner.ledger()

    with pytest.raises(RecoveryError, match="has 5001 keys, and at most 5000 are read") as raised:
        await ledger.write(ENTRY)
    assert raised.value.reason == "LedgerUnreadable"

    await owner.api.patch(f"{owner.maps}/{LEDGER}", {"data": {"00000": None}})
    await ledger.write(ENTRY)
    assert await owner.ledger().read() == ENTRY


async def test_a_patch_that_is_too_large_for_the_api_server_is_a_refused_one(
    owner: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.create_map(data={"other.1": "{"})
    monkeypatch.setattr(ledger_module, "_operations", lambda *_: [{"op": "test", "path": "/kind"}] * 10_001)

    with pytest.raises(RecoveryError, match="If it is full, remove the keys") as raised:
        await owner.ledger().write(ENTRY)

    assert raised.value.reason == "LedgerRefused"


def entry_of_size(size: int, start_time: str) -> str:
    return ENTRY.model_copy(update={"start_time": start_time}).model_dump_json(by_alias=True).ljust(size)


async def test_a_target_that_was_deleted_does_not_hinder_the_entry(owner: Namespace) -> None:
    await owner.api.delete(f"{owner.targets}/team", {})

    await owner.ledger().write(ENTRY)

    assert await owner.ledger().read() == ENTRY


async def test_what_is_written_is_json_that_a_user_can_read(owner: Namespace) -> None:
    await owner.ledger().write(EXECUTED)

    assert json.loads((await owner.data())["stuck.0123"]) == {
        "uid": "first",
        "startTime": "2026-05-01T03:00:00Z",
        "executed": True,
        "reason": "",
        "message": "",
    }
