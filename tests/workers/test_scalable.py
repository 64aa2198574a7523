"""Any kind with a `scale` subresource is stopped and scaled back if it follows the conventions, else refused."""

import pytest
from aiohttp import web

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import ROLLOUT, GroupVersionKind, WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.observed import NOT_OBSERVED
from queue_recovery.workers.permissions import ServiceAccount, forbidden, permissions_for
from queue_recovery.workers.snapshot import note_labels
from queue_recovery.workers.workloads import Scalable
from sandbox.api import ApiError, Json
from sandbox.processes import until
from tests import rollouts
from tests.rollouts import CREW
from tests.workers.fleet import PLURALS, RUN, Fleet, manifest, note, workers_of
from tests.workers.scripted_api import listed, scripted
from tests.workers.test_scale_back import traces

TEMPLATE: Json = manifest()["spec"]["template"]
OTHERS = {
    GroupVersionKind("example.com/v1", "Nothing"): (Reason.WORKER_NOT_FOUND, 'no namespaced kind "Nothing"'),
    GroupVersionKind("nowhere.example.com/v1", "Crew"): (Reason.WORKER_NOT_FOUND, "in nowhere.example.com/v1"),
    GroupVersionKind("networking.k8s.io/v1", "Ingress"): (Reason.WORKER_NOT_SCALABLE, "no subresource scale"),
    GroupVersionKind("networking.k8s.io/v1", "IngressClass"): (Reason.WORKER_NOT_FOUND, "no namespaced kind"),
}


class Crews:
    """Crews of one namespace, whose controller is the test."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.path = f"/apis/{CREW.api_version}/namespaces/{fleet.namespace}/{PLURALS[CREW]}"

    async def create(self, spec: Json | None = None, **status: object) -> None:
        body = {"apiVersion": CREW.api_version, "kind": CREW.kind, "metadata": {"name": "worker"}}

        async def created() -> bool:
            try:
                await self.fleet.api.create(self.path, {**body, "spec": spec or {"replicas": 1, "template": TEMPLATE}})
            except ApiError:  # a kind that is new is not served at once
                return False
            return True

        await until(created, "the Crew to be created")
        await self.report(**{"selector": "app=worker", "replicas": 1, **status})

    async def report(self, **status: object) -> None:
        """Say what a controller says that has observed the spec as it is."""
        generation = (await self.fleet.deployment())["metadata"]["generation"]
        said = {"observedGeneration": generation, **status}
        await self.fleet.api.patch(f"{self.path}/worker/status", {"status": said})

    async def pod(self) -> None:
        """Start a pod with the labels of the template and no controller."""
        body = {"apiVersion": "v1", "kind": "Pod", **TEMPLATE}
        body["metadata"] = {**TEMPLATE["metadata"], "name": "worker-0"}
        await self.fleet.api.create(f"/api/v1/namespaces/{self.fleet.namespace}/pods", body)


@pytest.fixture
async def crews(fleet: Fleet) -> Crews:
    """A namespace with Crews."""
    await rollouts.define(fleet.api, rollouts.definition(CREW))
    fleet.gvk = CREW
    return Crews(fleet)


async def test_it_is_held_drained_and_scaled_back_and_its_pods_are_those_that_its_scale_selects(crews: Crews) -> None:
    fleet = crews.fleet
    await crews.create()
    await crews.pod()

    async def is_ready() -> bool:
        return (await fleet.look()).rollout is None

    await until(is_ready, "its pod to be ready")
    held = await fleet.hold()
    assert ((await fleet.look()).note, (await fleet.look()).rollout) == (note(1), NOT_OBSERVED)

    await crews.report(replicas=0)
    assert (held.pods, (await fleet.look()).drained) == (1, False)
    await fleet.api.delete(f"/api/v1/namespaces/{fleet.namespace}/pods/worker-0", {})

    await fleet.drained()
    assert await fleet.workers.scale_back(fleet.ref(), held.uid, RUN) == 1
    now = await fleet.deployment()
    assert (now["spec"]["replicas"], traces(now)) == (1, [])


async def test_it_is_not_drained_before_its_controller_has_observed_0(crews: Crews) -> None:
    await crews.create()
    await crews.fleet.hold()

    assert not (await crews.fleet.look()).drained


@pytest.mark.parametrize(
    ("spec", "status", "lacks"),
    [
        ({"template": TEMPLATE}, {}, "it has no spec.replicas"),
        ({"replicas": 1}, {}, "it has no spec.template"),
        ({"replicas": 1, "template": TEMPLATE}, {"observedGeneration": None}, "it has no status.observedGeneration"),
        ({"replicas": 1, "template": TEMPLATE}, {"selector": None}, "its subresource scale has no selector"),
    ],
)
async def test_one_that_does_not_follow_the_conventions_is_refused_before_anything_is_touched(
    crews: Crews, spec: Json, status: Json, lacks: str
) -> None:
    await crews.create(spec, **status)

    with pytest.raises(RecoveryError, match=lacks) as refused:
        await crews.fleet.workers.outline([crews.fleet.ref()])

    assert refused.value.reason is Reason.WORKER_NOT_SCALABLE


@pytest.mark.parametrize("gvk", OTHERS, ids=str)
async def test_a_kind_that_does_not_exist_or_cannot_be_scaled_is_named(crews: Crews, gvk: GroupVersionKind) -> None:
    crews.fleet.gvk = gvk
    reason, said = OTHERS[gvk]

    with pytest.raises(RecoveryError, match=said) as refused:
        await crews.fleet.workers.outline([crews.fleet.ref()])

    assert refused.value.reason is reason


async def test_a_worker_that_is_gone_is_not_waited_for_but_a_kind_that_is_not_served_is(crews: Crews) -> None:
    fleet = crews.fleet
    assert await fleet.workers.scale_back(fleet.ref(), "uid", RUN) is None

    fleet.gvk = GroupVersionKind("gone.example.com/v1", "Crew")
    with pytest.raises(RecoveryError) as refused:
        await fleet.workers.scale_back(fleet.ref(), "uid", RUN)
    assert refused.value.reason is Reason.WORKER_NOT_FOUND


async def test_while_an_api_server_starts_a_worker_that_it_does_not_serve_yet_is_not_taken_for_gone() -> None:
    metadata = {"name": "worker", "uid": "r", "resourceVersion": "7", "labels": note_labels(note(3))}
    held = {"apiVersion": ROLLOUT.api_version, "kind": ROLLOUT.kind, "metadata": metadata, "spec": {"replicas": 0}}
    written: list[Json] = []
    answers = iter([web.Response(status=404), web.json_response(held)])

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == f"/apis/{ROLLOUT.api_version}":
            return web.json_response({"resources": [{"name": "rollouts", "kind": ROLLOUT.kind, "namespaced": True}]})
        if request.path.endswith("/rollouts"):
            return listed(held)
        if request.method == "PATCH":
            written.append(await request.json())
            return web.json_response(held)
        return next(answers)

    async with scripted(handle) as api:
        ref = WorkerRef(api_version=ROLLOUT.api_version, kind=ROLLOUT.kind, name="worker")
        assert await workers_of(api.client).scale_back(ref, "r", RUN) == 3

    assert [one["spec"]["replicas"] for one in written] == [3]


def test_fields_that_only_look_like_those_of_other_kinds_are_not_read() -> None:
    metadata = {"name": "worker", "uid": "c", "resourceVersion": "7"}
    spec = {"replicas": 2, "template": {}, "strategy": "fast", "selector": "app=x", "updateStrategy": 7}
    status = {"observedGeneration": 1, "conditions": {"Ready": True}, "abort": "no"}

    found = Scalable.model_validate(
        {"apiVersion": "example.com/v1", "kind": "Crew", "metadata": metadata, "spec": spec, "status": status}
    )

    assert (found.spec.replicas, found.status.observed_generation, found.lacks) == (2, 1, None)


@pytest.mark.parametrize(
    ("gvk", "missing", "grant"),
    [
        (ROLLOUT, ["list rollouts.argoproj.io"], "--clusterrole=queue-recovery-tenant-rollouts "),
        (CREW, ["get crews/scale.example.com/worker"], 'bind a role of your own, as "Other kinds" in docs/gitops.md'),
        (CREW, ["list pods"], "--clusterrole=queue-recovery-tenant "),
    ],
)
def test_what_grants_missing_permissions_depends_on_their_kinds(
    gvk: GroupVersionKind, missing: list[str], grant: str
) -> None:
    needed = permissions_for([], [WorkerRef(api_version=gvk.api_version, kind=gvk.kind, name="worker")], PLURALS)
    lacking = [each for each in needed if str(each) in missing]

    assert [str(each) for each in lacking] == missing
    assert grant in forbidden("media", ServiceAccount(), lacking).message
