"""What a Deployment, its ReplicaSets and its pods say together: drained or not, rolled out or not."""

import re
from copy import deepcopy
from typing import Any

import pytest

from queue_recovery.diagnosis.evidence import ContainerEnd
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO, ScaleBackNote, Worker
from queue_recovery.workers import snapshot
from queue_recovery.workers.label_selectors import selects
from queue_recovery.workers.objects import Pod, ReplicaSet, Selector
from queue_recovery.workers.workloads import Deployment

Json = dict[str, Any]

LABELS = {"app": "tts"}


def controlled_by(uid: str, kind: str = "ReplicaSet") -> Json:
    return {"ownerReferences": [{"uid": uid, "kind": kind, "name": "n", "apiVersion": "apps/v1", "controller": True}]}


def metadata(uid: str, **more: object) -> Json:
    return {"name": uid, "uid": uid, "resourceVersion": "7", "generation": 3, **more}


def pod(uid: str = "p", *, phase: str = "Running", owner: str = "rs", labels: Json = LABELS, **more: object) -> Json:
    return {"metadata": metadata(uid, labels=labels, **controlled_by(owner), **more), "status": {"phase": phase}}


AT_ZERO: Json = {
    "deployment": {
        "metadata": metadata("d"),
        "spec": {"replicas": 0, "selector": {"matchLabels": LABELS}},
        "status": {"observedGeneration": 3, "terminatingReplicas": 0},
    },
    "replica_set": {
        "metadata": metadata("rs", **controlled_by("d", "Deployment")),
        "spec": {"replicas": 0},
        "status": {"observedGeneration": 3, "replicas": 0},
    },
    "pods": [],
}


def seen(state: Json) -> Worker:
    deployment = Deployment.model_validate(state["deployment"])
    return snapshot.worker(
        deployment,
        [deployment],
        [ReplicaSet.model_validate(state["replica_set"])] if state["replica_set"] else [],
        [Pod.model_validate(one) for one in state["pods"]],
    )


def at_zero(**changes: object) -> Worker:
    """Describe a drained Deployment with changes, each given as `part__field__field=value`; None removes the field."""
    state = deepcopy(AT_ZERO)
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = state
        for parent in parents:
            part = part[parent]
        if value is None:
            del part[last]
        else:
            part[last] = value
    return seen(state)


OF_UNKNOWN = pod(labels={"app": "other"}, owner="unknown")
OF_JOB: Json = {"metadata": metadata("p", labels=LABELS, **controlled_by("j", "Job"))}
BARE: Json = {"metadata": metadata("p", labels=LABELS)}
ENDED = [pod(phase="Succeeded"), pod("q", phase="Failed")]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="nothing of it is left"),
        pytest.param({"deployment__status__terminatingReplicas": None}, id="the server counts no terminating pods"),
        pytest.param({"deployment__status__observedGeneration": 4}, id="its controller is ahead of this read"),
        pytest.param({"replica_set": {}}, id="it never had a ReplicaSet"),
        pytest.param({"pods": ENDED}, id="its pods have ended and linger"),
        pytest.param({"pods": [OF_UNKNOWN]}, id="a pod of an unknown ReplicaSet has other labels"),
        pytest.param({"pods": [BARE]}, id="a pod of nobody has its labels"),
        pytest.param({"pods": [OF_JOB]}, id="a Job's pod has its labels"),
    ],
)
def test_a_deployment_is_drained_when(changes: Json) -> None:
    assert at_zero(**changes).drained


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"deployment__spec__replicas": 1}, id="it is not scaled to 0"),
        pytest.param({"deployment__spec__replicas": None}, id="it has one replica by default"),
        pytest.param({"deployment__status__observedGeneration": 2}, id="its controller has not seen that"),
        pytest.param({"deployment__status": None}, id="it has no status yet"),
        pytest.param({"deployment__status__replicas": 1}, id="its status still counts a replica"),
        pytest.param({"deployment__status__terminatingReplicas": 1}, id="its status counts a terminating pod"),
        pytest.param({"replica_set__spec__replicas": 1}, id="its ReplicaSet is not scaled to 0"),
        pytest.param({"replica_set__status__observedGeneration": 2}, id="its ReplicaSet may still create pods"),
        pytest.param({"replica_set__status__replicas": 1}, id="its ReplicaSet counts a pod"),
        pytest.param({"pods": [pod()]}, id="a pod of it runs"),
        pytest.param({"pods": [pod(phase="Pending")]}, id="a pod of it is about to run"),
        pytest.param({"pods": [pod(phase="Unknown")]}, id="a pod of it is on a lost node"),
        pytest.param({"pods": [pod(deletionTimestamp="2026-05-01T03:00:00Z")]}, id="a pod of it is terminating"),
        pytest.param({"pods": [pod(labels={})]}, id="a pod of it has lost its labels"),
        pytest.param({"pods": [pod(owner="deleted")]}, id="a pod has outlived the ReplicaSet that was deleted"),
        pytest.param({"pods": [pod(phase="Succeeded"), pod("q")]}, id="one of two pods has ended"),
    ],
)
def test_a_deployment_is_not_drained_while(changes: Json) -> None:
    assert not at_zero(**changes).drained


def test_a_pod_of_another_deployment_is_not_waited_for_even_if_it_has_the_labels() -> None:
    state = deepcopy(AT_ZERO)
    state["replica_set"]["metadata"] |= controlled_by("another", "Deployment")

    assert seen({**state, "pods": [pod()]}).drained


def test_pods_that_have_not_ended_are_counted() -> None:
    terminating = pod("c", deletionTimestamp="2026-05-01T03:00:00Z")

    assert at_zero(pods=[pod("a"), pod("b", phase="Pending"), terminating, pod("d", phase="Failed")]).pods == 3


COMPLETE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("status", "waits_for"),
    [
        (COMPLETE, None),
        ({**COMPLETE, "terminatingReplicas": 1}, None),
        ({**COMPLETE, "observedGeneration": 2}, "its controller has not observed the change yet"),
        ({}, "its controller has not observed the change yet"),
        ({**COMPLETE, "updatedReplicas": 1, "replicas": 1}, "1 of 2 new replicas have been updated"),
        ({**COMPLETE, "replicas": 3}, "1 old replica pending termination"),
        ({**COMPLETE, "availableReplicas": 1}, "1 of 2 updated replicas are available"),
        ({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2}, "0 of 2 updated replicas are available"),
        (
            {**COMPLETE, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]},
            "it exceeded its progress deadline",
        ),
        ({**COMPLETE, "conditions": [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}]}, None),
    ],
)
def test_a_rollout_waits_for_what_kubectl_would_wait_for(status: Json, waits_for: str | None) -> None:
    assert at_zero(deployment__spec__replicas=2, deployment__status=status).rollout == waits_for


def test_a_paused_deployment_says_so() -> None:
    assert at_zero(deployment__spec__paused=True).paused
    assert not at_zero().paused


NOTE = ScaleBackNote(uid="u", name="tts.wrong-shape", replicas=3)


def test_a_note_is_read_as_it_was_written() -> None:
    labels = snapshot.note_labels(NOTE) | {"other": "kept"}

    assert at_zero(deployment__metadata__labels=labels).note == NOTE


@pytest.mark.parametrize(
    "labels",
    [
        *({name: None} for name in (HELD_BY, HELD_BY_UID, SCALE_BACK_TO)),
        {HELD_BY_UID: ""},
        *({SCALE_BACK_TO: text} for text in ("", "-1", "2147483648", "9" * 20, "03", "1.5", "1_0", "many")),
        *({HELD_BY: text} for text in ("", "..", "UPPER")),
    ],
    ids=str,
)
def test_what_no_recovery_writes_is_no_note(labels: dict[str, str | None]) -> None:
    written = snapshot.note_labels(NOTE) | labels

    assert at_zero(deployment__metadata__labels={k: v for k, v in written.items() if v is not None}).note is None


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1", "b": "1"}}, {"a": "1", "b": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, {"a": "1"}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_says(selector: Json, labels: dict[str, str], *, selected: bool) -> None:
    assert selects(Selector.model_validate(selector), labels) is selected


def test_an_address_that_a_pod_shares_with_its_node_is_not_its_own() -> None:
    own = pod("own") | {"status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.7"}}
    shared = pod("shared") | {"status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.0.0.1"}}
    ended = pod("ended") | {"status": {"phase": "Failed", "hostIP": "10.0.0.1", "podIP": "10.1.0.8"}}
    assert at_zero(pods=[own, shared, ended, pod("new")]).addresses == {"10.1.0.7"}


def test_a_message_names_the_three_pods_that_may_live_longest() -> None:
    pods = [pod(f"p{n}", deletionTimestamp=f"2026-01-01T00:00:0{n}Z") for n in range(5)]
    said = at_zero(pods=[*pods, pod("awake")]).stopping
    assert re.findall(r'"(p\d)"', said) == ["p4", "p3", "p2"]
    assert "is killed at 2026-01-01T00:00:04Z" in said
    assert said.endswith("; and others")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, None),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}, "cannot pull its image"),
        ({"initContainerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, "cannot pull its image"),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "CreateContainerConfigError"}}}]}, "ConfigError"),
        ({"containerStatuses": [{"lastState": {"terminated": {"exitCode": 7}}}]}, "keeps exiting with code 7"),
        ({"containerStatuses": [{"ready": True, "lastState": {"terminated": {"exitCode": 7}}}]}, None),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}, "Unschedulable"),
    ],
)
def test_why_a_pod_does_not_start_is_said(status: Json, says: str | None) -> None:
    found = snapshot.start_failure(Pod.model_validate(pod() | {"status": {"phase": "Pending", **status}}))
    assert found is None if says is None else says in (found or "")


RUNNING: Json = {"state": {"running": {"startedAt": "2026-05-01T03:00:00Z"}}}
WAITING: Json = {"state": {"waiting": {"reason": "PodInitializing"}}}
TERMINATED: Json = {"state": {"terminated": {"exitCode": 0}}}
BETWEEN_TWO_RUNS: Json = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": TERMINATED["state"]}


@pytest.mark.parametrize(
    ("phase", "containers", "init_containers", "unseen"),
    [
        pytest.param("Succeeded", [TERMINATED], [], False, id="it ended by itself"),
        pytest.param("Failed", [TERMINATED, TERMINATED], [TERMINATED], False, id="it was killed"),
        pytest.param("Running", [TERMINATED], [], False, id="the phase was written no more"),
        pytest.param("Pending", [], [], False, id="it never had a node"),
        pytest.param("Failed", [WAITING], [TERMINATED], False, id="it ended before all were started"),
        pytest.param("Running", [RUNNING], [], True, id="it was deleted by force"),
        pytest.param("Running", [TERMINATED, RUNNING], [], True, id="one of its containers still ran"),
        pytest.param("Running", [TERMINATED], [RUNNING], True, id="a sidecar still ran"),
        pytest.param("Running", [BETWEEN_TWO_RUNS], [], True, id="it may have been started once more"),
        pytest.param("Pending", [WAITING], [], True, id="it may have been started unseen"),
        pytest.param("Failed", [RUNNING], [], True, id="the garbage collector gave it up with its node"),
    ],
)
def test_a_pod_that_is_gone_was_not_seen_to_end_if(
    phase: str, containers: list[Json], init_containers: list[Json], *, unseen: bool
) -> None:
    status = {"phase": phase, "containerStatuses": containers, "initContainerStatuses": init_containers}

    assert snapshot.ended_unseen(Pod.model_validate(pod() | {"status": status})) is unseen


def test_of_the_pods_that_vanished_a_deployment_names_its_own() -> None:
    state = deepcopy(AT_ZERO)
    gone = [Pod.model_validate(one) for one in (pod("b"), pod("a", owner="deleted"), OF_UNKNOWN, OF_JOB, BARE)]
    deployment, replica_set = (
        Deployment.model_validate(state["deployment"]),
        ReplicaSet.model_validate(state["replica_set"]),
    )

    assert snapshot.worker(deployment, [deployment], [replica_set], [], gone).vanished == ("a", "b")


@pytest.mark.parametrize(("spec", "seconds"), [({}, 30), ({"terminationGracePeriodSeconds": 600}, 600)])
def test_the_grace_period_is_that_of_the_template_or_the_usual_one(spec: Json, seconds: int) -> None:
    assert at_zero(deployment__spec__template={"spec": spec}).grace_seconds == seconds


def test_who_sets_the_replicas_with_each_apply_is_known_from_the_managed_fields() -> None:
    owns: Json = {"f:spec": {"f:replicas": {}}}
    entries = [
        {"manager": "kustomize-controller", "operation": "Apply", "fieldsV1": owns},
        {"manager": "kubectl", "operation": "Update", "fieldsV1": owns},
        {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}},
    ]
    state = deepcopy(AT_ZERO["deployment"])
    state["metadata"]["managedFields"] = entries

    assert Deployment.model_validate(state).metadata.replicas_applied_by == ("kustomize-controller",)


def test_an_end_that_a_container_was_asked_for_is_none_unless_it_was_out_of_memory() -> None:
    """The kubelet kills it when the grace period is over; the pod goes on as long as another container runs."""
    ends = [{"exitCode": 137, "reason": reason} for reason in ("Error", "OOMKilled")]
    status = {"phase": "Running", "containerStatuses": [{"state": {"terminated": end}} for end in ends]}
    stopping = {**pod(), "status": status}
    stopping["metadata"] = {**stopping["metadata"], "deletionTimestamp": "2026-05-01T01:00:00Z"}

    assert at_zero(pods=[stopping]).ends == (ContainerEnd(restarts=0, reason="OOMKilled", exit_code=137),)


def test_the_pods_of_a_deployment_have_names_of_their_own() -> None:
    running = {"phase": "Running", "containerStatuses": [{"state": {"running": {"startedAt": "2026-05-01T01:00:00Z"}}}]}
    [(name, seconds)] = at_zero(
        pods=[{**pod(), "status": running, "spec": {"terminationGracePeriodSeconds": 7}}]
    ).running_pods.items()

    assert (name, seconds) == (pod()["metadata"]["name"], 7)


def test_how_containers_have_ended_is_known_of_those_that_have() -> None:
    killed = {"restartCount": 3, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    running = {"restartCount": 0, "state": {"running": {}}}
    restarted = {"restartCount": 1, "state": {"running": {}}}
    status = {"phase": "Running", "containerStatuses": [killed, running, restarted]}

    found = at_zero(pods=[{**pod(), "status": status}])

    assert found.ends == (
        ContainerEnd(restarts=3, reason="OOMKilled", exit_code=137),
        ContainerEnd(restarts=1, reason="", exit_code=0),
    )
