"""A recovery's status and its finalizer, written to a real API server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from kubernetes.aio.client import ApiClient

from queue_recovery.api.approval import APPROVE, AUTHOR
from queue_recovery.api.recovery_spec import FINALIZER
from queue_recovery.api.recovery_status import Ending, QueueRecoveryStatus
from queue_recovery.api.stuck import PROPOSED_FOR
from queue_recovery.controller.cluster_identity import ClusterUID
from queue_recovery.controller.existence import namespace_is_terminating, recovery_exists
from queue_recovery.controller.resource import KubernetesResource, is_finished, read_body
from queue_recovery.recovery.ports.resource import Gone, Superseded
from sandbox.api import Api, ApiError, Json
from sandbox.cluster import Sandbox
from sandbox.processes import until
from tests.workers.fleet import connected

OTHERS = "example.org/others"
NOW = "2026-05-01T03:00:00Z"
PLANNED = QueueRecoveryStatus(message="planned")
STARTED = QueueRecoveryStatus(message="stopping the workers", drain_start_time=NOW)
ENDING = STARTED.model_copy(update={"ending": Ending(phase="Cancelled", reason="Deleted", message="deleted")})
ENDED = QueueRecoveryStatus(message="done", drain_start_time=NOW, completion_time=NOW, observed_generation=1)


class Recovery:
    """One in the API server, as its user sees it."""

    def __init__(self, api: Api, client: ApiClient, namespace: str) -> None:
        self.api = api
        self.client = client
        self.path = f"/apis/queuerecovery.dev/v1alpha1/namespaces/{namespace}/queuerecoveries"

    async def create(self, *finalizers: str) -> Json:
        return await self.api.create(
            self.path,
            {
                "apiVersion": "queuerecovery.dev/v1alpha1",
                "kind": "QueueRecovery",
                "metadata": {"name": "stuck", "finalizers": [*finalizers]},
                "spec": {"targetRef": {"name": "team"}, "queue": "work", "jobs": []},
            },
        )

    async def get(self) -> Json:
        return await self.api.get(f"{self.path}/stuck")

    async def finalizers(self) -> list[str]:
        found: list[str] = (await self.get())["metadata"].get("finalizers", [])
        return found

    async def set_finalizers(self, *finalizers: str) -> None:
        await self.api.patch(f"{self.path}/stuck", {"metadata": {"finalizers": [*finalizers]}})

    async def delete(self) -> None:
        await self.api.delete(f"{self.path}/stuck", {})

    async def label(self) -> None:
        await self.api.patch(f"{self.path}/stuck", {"metadata": {"labels": {"seen": "yes"}}})

    async def is_gone(self) -> bool:
        try:
            await self.get()
        except ApiError as error:
            return error.status == 404
        return False

    async def resource(self) -> KubernetesResource:
        return KubernetesResource(self.client, await self.get(), written=lambda *_: None)


@pytest_asyncio.fixture(loop_scope="session")
async def recovery(sandbox: Sandbox, definitions: None, namespace: str) -> AsyncIterator[Recovery]:
    del definitions
    async with Api(sandbox.control_plane.admin) as api, connected(sandbox.kubeconfig) as client:
        made = Recovery(api, client, namespace)
        yield made
        if not await made.is_gone():
            await api.patch(f"{made.path}/stuck", {"metadata": {"finalizers": None}})


async def test_what_was_just_read_is_read_again_only_for_the_second_time(recovery: Recovery) -> None:
    await recovery.create()
    body = await recovery.get()
    resource = KubernetesResource(recovery.client, body, written=lambda *_: None, just_read=True)
    await recovery.api.patch(f"{recovery.path}/stuck/status", {"status": {"message": "planned"}})

    assert not (await resource.read()).message
    assert (await resource.read()).message == "planned"


async def test_another_one_of_the_name_is_not_the_one_that_is_read(recovery: Recovery) -> None:
    created = await recovery.create()
    metadata = created["metadata"]

    assert (await read_body(recovery.client, metadata["namespace"], "stuck", metadata["uid"]))["spec"]
    with pytest.raises(Gone):
        await read_body(recovery.client, metadata["namespace"], "stuck", "another")


async def test_what_was_withdrawn_before_a_status_is_stored_that_depends_on_it_refuses_the_status(
    recovery: Recovery,
) -> None:
    await recovery.create()
    path = f"{recovery.path}/stuck"
    await recovery.api.patch(path, {"metadata": {"annotations": {APPROVE: "d" * 32}}})
    resource = await recovery.resource()
    await resource.write(PLANNED)
    asked = resource.desired
    await recovery.api.patch(path, {"metadata": {"annotations": {APPROVE: None}}})

    with pytest.raises(Superseded):
        await resource.write(STARTED, asked=asked)

    assert "drainStartTime" not in (await recovery.get())["status"]
    await resource.write(STARTED, asked=resource.desired)


async def test_annotations_are_read_up_to_a_length(recovery: Recovery) -> None:
    await recovery.create()
    await recovery.api.patch(f"{recovery.path}/stuck", {"metadata": {"annotations": {AUTHOR: "x" * 200_000}}})

    resource = await recovery.resource()

    assert len(resource.desired.annotations.author) == 1000


async def test_the_finalizer_comes_with_the_first_status_that_tells_of_effects_and_not_before(
    recovery: Recovery,
) -> None:
    await recovery.create()
    resource = await recovery.resource()

    await resource.write(PLANNED)
    assert await recovery.finalizers() == []
    await resource.write(STARTED)
    assert await recovery.finalizers() == [FINALIZER]

    await resource.release()
    assert await recovery.finalizers() == [FINALIZER]
    await resource.write(ENDED)
    assert not is_finished(await recovery.get())
    await resource.release()
    assert await recovery.finalizers() == []
    assert is_finished(await recovery.get())


async def test_other_peoples_finalizers_and_changes_are_no_obstacle(recovery: Recovery) -> None:
    await recovery.create(OTHERS)
    resource = await recovery.resource()

    await recovery.label()
    await resource.write(STARTED)
    assert await recovery.finalizers() == [OTHERS, FINALIZER]
    await resource.write(ENDED)
    await recovery.label()
    await resource.release()

    assert await recovery.finalizers() == [OTHERS]


@pytest.mark.parametrize("status", [PLANNED, None], ids=["planned", "without status"])
async def test_a_finalizer_that_an_earlier_version_or_a_death_has_left_on_one_that_touched_nothing_goes(
    recovery: Recovery, status: QueueRecoveryStatus | None
) -> None:
    await recovery.create(FINALIZER)
    if status is not None:
        await (await recovery.resource()).write(status)

    await (await recovery.resource()).release()

    assert await recovery.finalizers() == []


async def test_one_that_is_held_by_others_only_and_being_deleted_touches_nothing_any_more(recovery: Recovery) -> None:
    await recovery.create(OTHERS)
    resource = await recovery.resource()
    await recovery.delete()

    with pytest.raises(Superseded):
        await resource.write(STARTED)

    assert resource.desired.deleting
    assert await recovery.finalizers() == [OTHERS]
    assert "drainStartTime" not in (await recovery.get())["status"]


@pytest.mark.parametrize("when", ["before it is read", "unseen"])
async def test_one_that_has_lost_its_finalizer_and_is_being_deleted_goes_no_further_and_can_be_ended(
    recovery: Recovery, when: str
) -> None:
    await recovery.create()
    resource = await recovery.resource()
    await resource.write(STARTED)
    await recovery.set_finalizers(OTHERS)
    await recovery.delete()
    if when != "unseen":
        resource = await recovery.resource()

    with pytest.raises(Superseded):
        await resource.write(STARTED.model_copy(update={"message": "taking the messages"}))
    await resource.write(ENDING)
    assert (await recovery.get())["status"]["ending"]["reason"] == "Deleted"
    await resource.write(ENDED)

    await resource.release()
    assert await recovery.finalizers() == [OTHERS]
    assert "completionTime" in (await recovery.get())["status"]


async def test_one_that_loses_its_finalizer_while_it_ends_can_be_ended(recovery: Recovery) -> None:
    await recovery.create(OTHERS)
    resource = await recovery.resource()
    await resource.write(ENDING)
    await recovery.delete()
    await recovery.set_finalizers(OTHERS)

    await resource.write(ENDED)

    assert "completionTime" in (await recovery.get())["status"]


async def test_one_that_is_gone_touches_nothing_any_more(recovery: Recovery) -> None:
    await recovery.create()
    resource = await recovery.resource()
    await recovery.delete()

    with pytest.raises(Gone):
        await resource.write(STARTED)


async def test_a_process_that_was_held_up_before_its_first_effect_does_not_act_without_the_finalizer(
    recovery: Recovery,
) -> None:
    await recovery.create()
    held_up = await recovery.resource()
    await held_up._edit([{"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}])
    await (await recovery.resource()).release()  # the next process finds that nothing was touched
    assert await recovery.finalizers() == []

    await held_up.write(STARTED)

    assert await recovery.finalizers() == [FINALIZER]


async def test_a_process_that_was_held_up_before_it_releases_leaves_alone_what_another_has_begun(
    recovery: Recovery,
) -> None:
    await recovery.create(FINALIZER)
    held_up = await recovery.resource()
    await (await recovery.resource()).write(STARTED)

    await held_up.release()

    assert await recovery.finalizers() == [FINALIZER]


async def test_what_another_process_has_written_is_not_written_over(recovery: Recovery) -> None:
    await recovery.create()
    one, other = await recovery.resource(), await recovery.resource()
    await one.write(PLANNED)

    with pytest.raises(Superseded):
        await other.write(STARTED)

    assert "drainStartTime" not in (await recovery.get())["status"]


async def test_a_deletion_waits_for_the_terminal_status_and_the_release(recovery: Recovery) -> None:
    await recovery.create()
    resource = await recovery.resource()
    await resource.write(STARTED)
    await recovery.delete()

    await resource.write(ENDED)
    assert not await recovery.is_gone()
    await resource.release()
    assert await recovery.is_gone()


async def test_what_is_not_there_is_proven_by_its_name_and_its_uid(recovery: Recovery, namespace: str) -> None:
    uid = (await recovery.create())["metadata"]["uid"]
    client = recovery.client

    assert await recovery_exists(client, namespace, "stuck", uid) is True
    assert await recovery_exists(client, namespace, "stuck", uid, unfinished=True) is True
    assert await recovery_exists(client, namespace, "stuck", "of-an-earlier-one") is False
    assert await recovery_exists(client, namespace, "never", uid) is False
    assert await recovery_exists(client, "no-such-namespace", "stuck", uid) is False


async def test_a_server_that_does_not_let_the_operator_look_or_serves_no_such_kind_proves_nothing(
    recovery: Recovery, sandbox: Sandbox, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sandbox.kubectl("-n", namespace, "create", "serviceaccount", "nobody")
    kubeconfig = await sandbox.service_account_kubeconfig(namespace, "nobody")
    async with connected(kubeconfig) as client:
        assert await recovery_exists(client, namespace, "never", "uid") is None
    monkeypatch.setattr("queue_recovery.controller.existence.GROUP", "not-served.example.org")
    assert await recovery_exists(recovery.client, namespace, "never", "uid") is None


async def test_the_cluster_is_told_by_what_only_it_has_where_the_operator_may_read_it(
    recovery: Recovery, sandbox: Sandbox, namespace: str
) -> None:
    known = ClusterUID(recovery.client)
    assert await known.read() == (await recovery.api.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
    await sandbox.kubectl("-n", namespace, "create", "serviceaccount", "stranger")
    async with connected(await sandbox.service_account_kubeconfig(namespace, "stranger")) as client:
        assert await ClusterUID(client).read() is None


async def test_a_namespace_that_is_gone_or_being_deleted_is_told_from_one_that_is_not(
    recovery: Recovery, namespace: str
) -> None:
    await recovery.create(OTHERS)
    assert not await namespace_is_terminating(recovery.client, namespace)
    await recovery.api.delete(f"/api/v1/namespaces/{namespace}", {})

    async def terminating() -> bool:
        return await namespace_is_terminating(recovery.client, namespace)

    await until(terminating, "the namespace to refuse what is created in it")
    assert await namespace_is_terminating(recovery.client, "no-such-namespace")
    events = await recovery.api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    assert events["items"] == []


async def test_the_label_of_a_proposal_is_part_of_what_is_asked_for_and_its_removal_is_heard() -> None:
    metadata = {"uid": "1", "namespace": "media", "name": "a", "resourceVersion": "1", "creationTimestamp": NOW}
    labelled = metadata | {"labels": {PROPOSED_FOR: "RetryLoop", "unrelated": "1"}}
    spec = {"targetRef": {"name": "team"}, "queue": "work", "jobs": []}
    async with ApiClient() as api:
        resource = KubernetesResource(api, {"metadata": labelled, "spec": spec}, written=lambda *_: None)
        assert resource.desired.proposed_for == "RetryLoop"

        resource.receive({"metadata": metadata, "spec": spec})
        async with asyncio.timeout(5):
            await resource.changed()

    assert resource.desired.proposed_for == ""
