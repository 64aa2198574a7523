"""What is read of autoscalers, and how a ScaledObject is paused and unpaused beside others that write to it."""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest
from aiohttp import web

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import DEPLOYMENT, ROLLOUT, GroupVersionKind
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, Autoscaler, PausedBy, ScaledObject
from queue_recovery.workers.autoscaler_objects import (
    PAUSED,
    PAUSED_BEFORE,
    PAUSED_BY,
    PAUSED_REPLICAS,
    PAUSED_REPLICAS_BEFORE,
)
from queue_recovery.workers.autoscalers import KubernetesAutoscalers
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.namespace import Namespace
from queue_recovery.workers.permissions import ServiceAccount
from tests.sample_worker import ref
from tests.workers.fleet import OTHER_RUN, RUN
from tests.workers.scripted_api import Json, ScriptedApi, listed, scripted

BY = PausedBy(uid=RUN, name="tts-wrong-shape")


@dataclass
class Keda:
    """An API server with one ScaledObject, which patches as the real one does."""

    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    uid: str = "so"
    kind: str = "Deployment"
    api_version: str = ""
    version: int = 7
    hpas: list[Json] = field(default_factory=list)
    refuses: HTTPStatus | None = None
    """How the list of ScaledObjects is answered; None: as it should be."""
    is_gone: bool = False
    denies: HTTPStatus | None = None
    """How each change is answered; None: it is accepted."""

    @property
    def object(self) -> Json:
        metadata = {
            "name": "tts",
            "uid": self.uid,
            "resourceVersion": str(self.version),
            "annotations": self.annotations,
            "labels": self.labels,
        }
        target = {"name": "worker", "apiVersion": self.api_version, **({"kind": self.kind} if self.kind else {})}
        return {"metadata": metadata, "spec": {"scaleTargetRef": target, "triggers": []}}

    def apis(self) -> AbstractAsyncContextManager[ScriptedApi]:
        return scripted(self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/horizontalpodautoscalers"):
            return listed(*self.hpas)
        if request.path.endswith("/scaledobjects"):
            return listed(self.object) if self.refuses is None else web.Response(status=self.refuses)
        if self.is_gone:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return self._patched(json.loads(await request.read())) if request.method == "PATCH" else self._shown()

    def _shown(self) -> web.Response:
        return web.json_response(self.object)

    def _patched(self, body: Json) -> web.Response:
        if self.denies is not None:
            return web.Response(status=self.denies)
        metadata = body["metadata"]
        if metadata.get("resourceVersion", str(self.version)) != str(self.version):
            return web.Response(status=HTTPStatus.CONFLICT)
        self.annotations = _merged(self.annotations, metadata.get("annotations", {}))
        self.labels = _merged(self.labels, metadata.get("labels", {}))
        self.version += 1
        return self._shown()


def _merged(before: Mapping[str, str], patch: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**before, **patch}.items() if value is not None}


def autoscalers(api: ScriptedApi) -> KubernetesAutoscalers:
    connections = Connections.all_by(api.client)
    return KubernetesAutoscalers(connections, Namespace(connections, "media", ServiceAccount()))


async def look(api: ScriptedApi) -> ScaledObject:
    (found,) = (await autoscalers(api).look([ref("worker")])).scaled_objects
    return found


FORMER = {
    "none": {},
    "a false pause": {PAUSED: "false"},
    "a pause at some replicas": {PAUSED_REPLICAS: "3"},
    "both": {PAUSED: "true", PAUSED_REPLICAS: "0"},
    "another annotation": {"owner": "media"},
}


@pytest.mark.parametrize(
    ("api_version", "kind", "scales"),
    [
        ("argoproj.io/v1alpha1", "Rollout", ROLLOUT),
        ("argoproj.io/v1", "Rollout", ROLLOUT),
        ("example.com/v1", "Rollout", None),
        ("apps/v1", "Deployment", DEPLOYMENT),
        ("", "", DEPLOYMENT),
        ("argoproj.io/v1alpha1", "Deployment", None),
    ],
)
async def test_what_it_scales_is_known_by_group_kind_and_name(
    api_version: str, kind: str, scales: GroupVersionKind | None
) -> None:
    keda = Keda(kind=kind, api_version=api_version)
    workers = [ref("worker", one.kind, api_version=one.api_version) for one in (DEPLOYMENT, ROLLOUT)]
    async with keda.apis() as api:
        found = {one.gvk for one in workers if (await autoscalers(api).look([one])).scaled_objects}

    assert found == ({scales} if scales else set())


@pytest.mark.parametrize("former", FORMER)
async def test_a_pause_leaves_the_replicas_to_the_recovery_and_the_former_one_comes_back(former: str) -> None:
    keda = Keda(annotations=dict(FORMER[former]))
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), BY)

        assert keda.annotations[PAUSED] == "true"
        assert PAUSED_REPLICAS not in keda.annotations
        assert keda.labels == {HELD_BY: BY.name, HELD_BY_UID: BY.uid}
        assert keda.annotations[PAUSED_BY] == f"{BY.name}/{BY.uid}"
        assert ((found := await look(api)).paused_by, found.is_labelled) == (BY, True)
        await autoscalers(api).unpause("tts", "so", RUN)

    assert (keda.annotations, keda.labels) == (FORMER[former], {})


@pytest.mark.parametrize(
    ("value", "is_paused"), [("true", True), ("1", True), ("yes", True), ("F", False), ("0", False)]
)
async def test_a_users_pause_is_read_as_keda_reads_it(value: str, *, is_paused: bool) -> None:
    async with Keda(annotations={PAUSED: value}).apis() as api:
        assert ((found := await look(api)).is_paused, found.paused_by) == (is_paused, None)
    async with Keda(annotations={PAUSED: value, PAUSED_REPLICAS: "2"}).apis() as api:
        assert not (await look(api)).is_paused


async def test_what_a_user_changes_of_the_pause_meanwhile_stays() -> None:
    keda = Keda(annotations={PAUSED_REPLICAS: "3"})
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), BY)
        keda.annotations |= {PAUSED: "false", PAUSED_REPLICAS: "5"}

        await autoscalers(api).unpause("tts", "so", RUN)

    assert keda.annotations == {PAUSED: "false", PAUSED_REPLICAS: "5"}


async def test_a_users_pause_at_replicas_that_comes_meanwhile_is_given_back_also_after_another_pause() -> None:
    keda = Keda(annotations={PAUSED_REPLICAS: "5"})
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), BY)
        keda.annotations[PAUSED_REPLICAS] = "3"

        await autoscalers(api).pause(await look(api), BY)
        assert PAUSED_REPLICAS not in keda.annotations
        await autoscalers(api).unpause("tts", "so", RUN)

    assert keda.annotations == {PAUSED_REPLICAS: "3"}


REMOVALS = {
    "both labels": (HELD_BY, HELD_BY_UID),
    "the label with the UID": (HELD_BY_UID,),
    "the annotation": (PAUSED_BY,),
}


@pytest.mark.parametrize("removed", REMOVALS)
async def test_a_pause_of_which_somebody_has_removed_one_mark_is_still_ours(removed: str) -> None:
    keda = Keda(annotations={PAUSED_REPLICAS: "3"})
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), BY)
        for name in REMOVALS[removed]:
            (keda.labels if name in keda.labels else keda.annotations).pop(name)

        found = await look(api)
        await autoscalers(api).unpause("tts", "so", RUN)

    assert (found.paused_by, found.is_paused, found.is_labelled) == (BY, True, removed == "the annotation")
    assert (keda.annotations, keda.labels) == ({PAUSED_REPLICAS: "3"}, {})


async def test_labels_that_somebody_has_removed_are_written_again_with_the_next_pause() -> None:
    keda = Keda(annotations={PAUSED_REPLICAS: "3"})
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), BY)
        keda.labels.clear()

        await autoscalers(api).pause(await look(api), BY)
        assert keda.labels == {HELD_BY: BY.name, HELD_BY_UID: BY.uid}
        await autoscalers(api).unpause("tts", "so", RUN)

    assert (keda.annotations, keda.labels) == ({PAUSED_REPLICAS: "3"}, {})


@pytest.mark.parametrize(
    "text",
    ["", "x", f"{BY.name}/", f"/{RUN}", f"{BY.name}/{RUN}\n", f"two words/{RUN}", f"{'x' * 64}/{RUN}", "x/" + "u" * 64],
)
async def test_an_annotation_that_no_operator_has_written_names_no_recovery(text: str) -> None:
    async with Keda(annotations={PAUSED: "true", PAUSED_BY: text}).apis() as api:
        found = await look(api)

    assert (found.is_paused, found.paused_by) == (True, None)


DENIED = {HTTPStatus.FORBIDDEN: Reason.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY: Reason.WORKER_WRITE_REFUSED}


@pytest.mark.parametrize("status", DENIED)
async def test_where_no_change_is_allowed_one_that_was_never_paused_is_left_alone(status: HTTPStatus) -> None:
    keda = Keda(denies=status)
    async with keda.apis() as api:
        await autoscalers(api).unpause("tts", "so", RUN)
        with pytest.raises(RecoveryError) as caught:
            await autoscalers(api).pause(await look(api), BY)

    assert caught.value.reason == DENIED[status]


@pytest.mark.parametrize("status", DENIED)
async def test_a_pause_of_ours_that_may_not_be_changed_is_an_error(status: HTTPStatus) -> None:
    keda = Keda()
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), BY)
        keda.denies = status
        with pytest.raises(RecoveryError) as caught:
            await autoscalers(api).unpause("tts", "so", RUN)

    assert caught.value.reason == DENIED[status]


async def test_a_change_that_is_denied_names_the_role_for_keda_and_its_webhook() -> None:
    async with Keda(denies=HTTPStatus.FORBIDDEN).apis() as api:
        with pytest.raises(RecoveryError) as caught:
            await autoscalers(api).pause(await look(api), BY)

    assert "kubectl apply -n media -k manifests/keda" in caught.value.message
    assert "KEDA's own webhook denies" in caught.value.message
    assert "queue-recovery-tenant" not in caught.value.message


async def test_a_fence_that_fails_for_a_moment_is_an_error() -> None:
    async with Keda(denies=HTTPStatus.INTERNAL_SERVER_ERROR).apis() as api:
        with pytest.raises(RecoveryError) as caught:
            await autoscalers(api).unpause("tts", "so", RUN)

    assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE


async def test_a_recovery_that_takes_over_keeps_what_there_was_before_the_first_pause() -> None:
    keda = Keda(annotations={PAUSED_REPLICAS: "3"})
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), PausedBy(uid=OTHER_RUN, name="gone"))
        await autoscalers(api).pause(await look(api), BY)

        assert keda.annotations == {PAUSED: "true", PAUSED_REPLICAS_BEFORE: "3", PAUSED_BY: f"{BY.name}/{BY.uid}"}
        await autoscalers(api).unpause("tts", "so", RUN)

    assert keda.annotations == {PAUSED_REPLICAS: "3"}


async def test_a_pause_that_comes_late_is_refused_also_where_there_was_none_to_undo() -> None:
    keda = Keda()
    async with keda.apis() as api:
        seen = await look(api)
        await autoscalers(api).unpause("tts", "so", RUN)

        with pytest.raises(RecoveryError) as caught:
            await autoscalers(api).pause(seen, BY)

    assert caught.value.reason == Reason.WORKER_CHANGED
    assert (keda.annotations, keda.labels) == ({}, {})


async def test_a_scaled_object_that_is_gone_or_paused_by_another_recovery_stays_as_it_is() -> None:
    keda = Keda()
    async with keda.apis() as api:
        await autoscalers(api).pause(await look(api), PausedBy(uid=OTHER_RUN, name="other"))
        before = dict(keda.annotations)

        await autoscalers(api).unpause("tts", "another uid", RUN)
        keda.is_gone = True
        await autoscalers(api).unpause("tts", "so", RUN)

    assert keda.annotations == before
    assert keda.annotations[PAUSED] == "true"
    assert PAUSED_BEFORE not in before


@pytest.mark.parametrize("status", [HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN])
async def test_where_keda_is_not_installed_or_denied_it_is_asked_for_once_and_nothing_fails(status: HTTPStatus) -> None:
    async with Keda(refuses=status).apis() as api:
        ours = autoscalers(api)
        for _ in range(3):
            assert (await ours.look([ref("worker")])).scaled_objects == []

        assert len(api.about("scaledobjects")) == 1
        assert len(api.about("horizontalpodautoscalers")) == 3


async def test_an_api_server_in_trouble_is_an_error() -> None:
    async with Keda(refuses=HTTPStatus.INTERNAL_SERVER_ERROR).apis() as api:
        with pytest.raises(RecoveryError) as caught:
            await look(api)

    assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE


@pytest.mark.parametrize(("kind", "count"), [("", 1), ("Deployment", 1), ("StatefulSet", 0)])
async def test_a_scaled_object_belongs_to_what_its_target_names(kind: str, count: int) -> None:
    async with Keda(kind=kind).apis() as api:
        assert len((await autoscalers(api).look([ref("worker")])).scaled_objects) == count
        assert (await autoscalers(api).look([ref("another")])).scaled_objects == []


def hpa(name: str, minimum: int | None, owner: str = "", /, **target: str) -> Json:
    owners = [{"uid": "so", "kind": owner, "controller": True}] if owner else []
    spec: Json = {"scaleTargetRef": {"kind": "Deployment", "name": "worker", **target}, "maxReplicas": 5}
    metadata = {"name": name, "uid": name, "resourceVersion": "1", "ownerReferences": owners}
    return {"metadata": metadata, "spec": spec if minimum is None else {**spec, "minReplicas": minimum}}


async def test_only_an_autoscaler_that_may_have_0_replicas_acts_on_a_worker_that_has_none() -> None:
    keda = Keda(
        hpas=[
            hpa("from-zero", 0),
            hpa("from-one", 1),
            hpa("by-default", None),
            hpa("of-keda", 0, "ScaledObject"),
            hpa("of-another", 0, name="another"),
            hpa("of-another-kind", 0, kind="StatefulSet"),
        ]
    )
    async with keda.apis() as api:
        found = await autoscalers(api).look([ref("worker")])

    assert found.from_zero == [Autoscaler(name="from-zero", worker=ref())]
