"""What the API server refuses before anybody acts on it, and where it says the mistake is."""

import pytest

from tests.manifests.conftest import Cluster
from tests.manifests.objects import recovery, target


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"jobs": [{"id": "a", "task": "t"}]},
            "spec.jobs[0]: Invalid value: a job needs an id (looked up in the job store) or a task",
        ),
        (
            {"jobs": [{"id": "a"}, {}]},
            "spec.jobs[1]: Invalid value: a job needs an id (looked up in the job store) or a task",
        ),
        ({"jobs": [{"id": "a", "args": "[]"}]}, "args and kwargs may only be set for a job that names its task"),
        ({"jobs": [{"id": "a", "kwargs": "{}"}]}, "args and kwargs may only be set for a job that names its task"),
        ({"jobs": [{"id": 1.5}]}, "spec.jobs[0].id in body must be of type integer,string"),
        ({"jobs": [{"id": True}]}, "spec.jobs[0].id in body must be of type integer,string"),
        ({"jobs": [{"id": ""}]}, "should be at least 1 chars long"),
        ({"jobs": [{"id": "x" * 257}]}, "spec.jobs[0].id: Too long"),
        ({"jobs": [{"task": "t", "args": ["a"]}]}, "spec.jobs[0].args in body must be of type string"),
        ({"jobs": [{"task": "t", "args": "x" * 65537}]}, "spec.jobs[0].args: Too long"),
        ({"jobs": [{"id": i} for i in range(1001)]}, "spec.jobs: Too many: 1001"),
        ({"jobs": [{"task": "t", "args": "x" * 600}] * 1000}, "spread the jobs over several recoveries"),
        ({"queue": "tts\x06\x163"}, "spec.queue in body should match"),
        ({"queue": "*", "jobs": [{"id": "a", "queue": "tts"}, {"id": "b"}]}, "every job needs its queue: add `queue`"),
        ({"jobs": [{"id": "a"}, {"id": "b", "queue": "tts"}]}, "remove `queue` from them, or use queue `*`"),
        ({"queue": "*", "jobs": [{"id": "a", "queue": ""}]}, "spec.jobs[0].queue"),
        ({"purge": {"mode": "none"}}, 'supported values: "Quarantine", "None"'),
        ({"purge": {"retentionSeconds": -1}}, "spec.purge.retentionSeconds"),
        ({"purge": {"select": {}}}, "spec.purge.select: Invalid value: select is empty"),
        ({"purge": {"select": {"tasks": []}}}, "spec.purge.select.tasks in body should have at least 1 items"),
        ({"purge": {"select": {"minRetries": 0}}}, "spec.purge.select.minRetries"),
        (
            {"purge": {"select": {"taskIds": [f"{n}" for n in range(1001)]}}},
            "spec.purge.select.taskIds: Too many: 1001",
        ),
        (
            {"purge": {"mode": "None", "select": {"minRetries": 1}}},
            "spec.purge.select: Invalid value: select requires mode Quarantine",
        ),
        (
            {"purge": {"mode": "None", "takeUnreadable": True}},
            "spec.purge.takeUnreadable: Invalid value: takeUnreadable requires mode Quarantine",
        ),
        (
            {"restoreFrom": {"name": "earlier"}, "queue": "*"},
            "spec.queue: Invalid value: restoreFrom puts back the messages of one queue",
        ),
        ({"restoreFrom": {}}, "spec.restoreFrom.name: Required value"),
        (
            {"restoreFrom": {"name": "earlier", "taskIds": []}},
            "spec.restoreFrom.taskIds in body should have at least 1",
        ),
        ({"restoreFrom": {"name": "earlier", "taskIds": ["a", "a"]}}, "spec.restoreFrom.taskIds[1]: Duplicate value"),
        ({"restoreFrom": {"name": "earlier", "as": "Fresh"}}, 'supported values: "Original", "New"'),
        *(
            ({"restoreFrom": {"name": "earlier"}, field: value}, f"spec.{field}: Invalid value: restoreFrom only puts")
            for field, value in {
                "jobs": [{"id": "a"}],
                "purge": {"mode": "None"},
                "restart": {"strategy": "Manual"},
                "reenqueue": {"ratePerSecond": 1},
            }.items()
        ),
        (
            {"restoreFrom": {"name": "earlier"}, "purge": {"select": {"minRetries": 1}}},
            "spec.purge: Invalid value: restoreFrom only puts",
        ),
        (
            {"restoreFrom": {"name": "earlier"}, "purge": {"takeUnreadable": True}},
            "spec.purge: Invalid value: restoreFrom only puts",
        ),
        (
            {"restoreFrom": {"name": "earlier"}, "restart": {"requireImage": [{"name": "worker", "image": "*"}]}},
            "spec.restart: Invalid value: restoreFrom only puts",
        ),
        (
            {"restart": {"requireImage": [{"name": "worker", "image": "a b"}]}},
            "spec.restart.requireImage[0].image",
        ),
        ({"restart": {"requireImage": [{"name": "worker", "image": "[ab]*"}]}}, "requireImage[0].image"),
        (
            {"restart": {"requireImage": [{"name": "worker", "image": tag} for tag in ("a:1", "a:2")]}},
            "spec.restart.requireImage: Invalid value: each worker may be listed once",
        ),
        (
            {"restart": {"requireImage": [{"kind": "ReplicaSet", "name": "worker", "image": "a"}]}},
            "spec.restart.requireImage: Invalid value: of the group apps, a worker is a Deployment or a StatefulSet",
        ),
        ({"restart": {"annotate": True}}, "spec.restart.annotate: Invalid value: annotate restarts workers that keep"),
        (
            {"purge": {"mode": "None"}, "restart": {"annotate": True, "strategy": "Manual"}},
            "spec.restart.annotate: Invalid value: with annotate the operator restarts the workers",
        ),
        (
            {"restoreFrom": {"name": "earlier"}, "restart": {"annotate": True}},
            "spec.restart: Invalid value: restoreFrom only puts",
        ),
        ({"redeliver": {}}, "spec.purge.mode: Invalid value: redeliver takes no message out of the queue"),
        (
            {"redeliver": {}, "purge": {"mode": "None"}, "jobs": [{"id": "a"}]},
            "spec.jobs: Invalid value: redeliver gives the messages back and enqueues nothing",
        ),
        (
            {"redeliver": {}, "restoreFrom": {"name": "earlier"}},
            "spec.redeliver: Invalid value: restoreFrom puts messages of a quarantine back",
        ),
        (
            {"redeliver": {"unknownConsumers": "Kill"}, "purge": {"mode": "None"}},
            'supported values: "Wait", "Ignore"',
        ),
        (
            {"restart": {"consumptionDeadlineSeconds": 90}},
            "spec.restart.consumptionDeadlineSeconds: Invalid value: consumptionDeadlineSeconds is for workers that",
        ),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds"),
        ({"targetRef": {"name": "Media"}}, "spec.targetRef.name"),
        ({"targetRef": {"name": "media", "namespace": "other"}}, 'unknown field "spec.targetRef.namespace"'),
        ({"job": [{"id": "a"}]}, 'unknown field "spec.job"'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_recovery_that_makes_no_sense_is_refused_with_its_place(
    cluster: Cluster, name: str, spec: dict[str, object], message: str
) -> None:
    refusal = cluster.refusal("create", "-f", "-", given=recovery(name, **spec))

    assert message in refusal


def test_a_recovery_without_a_spec_is_refused(cluster: Cluster, name: str) -> None:
    without = {key: value for key, value in recovery(name).items() if key != "spec"}

    assert "spec: Required value" in cluster.refusal("create", "-f", "-", given=without)


def _queue(name: str = "tts", **more: object) -> dict[str, object]:
    return {"name": name, "workers": [{"name": "w"}], **more}


def _rule(verdict: str = "Transient", **fields: str) -> dict[str, object]:
    return {"diagnosis": {"rules": [{"verdict": verdict, **fields}]}}


def _keys(**options: str) -> dict[str, object]:
    return {"broker": {"urlSecretRef": {"name": "redis", "key": "url"}, "transportOptions": options}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"queues": []}, "spec.queues in body should have at least 1 items"),
        ({"queues": [{"name": "tts", "workers": []}]}, "workers in body should have at least 1 items"),
        (
            {"queues": [{"name": "tts", "workers": [{"kind": "Rollout", "name": "w"}]}]},
            "set apiVersion, as in {apiVersion: argoproj.io/v1alpha1, kind: Rollout}",
        ),
        (
            {"queues": [{"name": "tts", "workers": [{"apiVersion": "apps/v1beta1", "name": "w"}]}]},
            "spec.queues[0].workers: Invalid value: of the group apps, a worker is a Deployment or a StatefulSet",
        ),
        (
            {
                "queues": [
                    {"name": "tts", "workers": [{"apiVersion": "v1", "kind": "ReplicationController", "name": "w"}]}
                ]
            },
            "spec.queues[0].workers[0].apiVersion in body should match",
        ),
        ({"queues": [_queue(workers=[{"kind": "rollouts", "name": "w"}])]}, "workers[0].kind in body should match"),
        (
            {"queues": [_queue(workers=[{"name": "w"}, {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}])]},
            "spec.queues[0].workers: Invalid value: each worker may be listed once",
        ),
        ({"queues": [_queue(), _queue()]}, 'spec.queues[1]: Duplicate value: {"name":"tts"}'),
        ({"queues": [_queue(tasks=["a", "a"])]}, 'spec.queues[0].tasks[1]: Duplicate value: "a"'),
        ({"queues": [_queue(), _queue("*")]}, "spec.queues: Invalid value: no queue may be named `*`"),
        (
            {"policy": {"authorMayApprove": False}},
            "spec.policy.authorMayApprove: Invalid value: authorMayApprove: false requires approval: Required",
        ),
        ({"queues": [_queue("queuerecovery.dev:lock:tts")]}, "the prefix of the operator's own keys"),
        (
            {
                "broker": {
                    "urlSecretRef": {"name": "redis", "key": "url"},
                    "transportOptions": {"globalKeyPrefix": "queuerecovery."},
                },
                "queues": [_queue("dev:lock:tts")],
            },
            "the prefix of the operator's own keys",
        ),
        (_keys(globalKeyPrefix="team-b.queuerecovery.dev:quarantine:x:"), "no queue's key may contain"),
        (_keys(sep="queuerecovery.dev:"), "no queue's key may contain"),
        (_keys(unackedKey="queuerecovery.dev:quarantine:x:1:unacked"), "transportOptions.unackedKey"),
        (_keys(globalKeyPrefix="queuerecovery.", unackedIndexKey="dev:x"), "transportOptions.unackedIndexKey"),
        ({"jobStore": {}}, "spec.jobStore.mongodb: Required value"),
        (_rule(), "spec.diagnosis.rules[0]: Invalid value: a rule has exception, message, or both"),
        (_rule(message="(quota"), "error parsing regexp: missing closing )"),
        (_rule(message="[0-9]{3}"), "spec.diagnosis.rules[0].message in body should match"),
        (_rule(message=r"\w+"), "spec.diagnosis.rules[0].message in body should match"),
        (_rule(message="x" * 101), "spec.diagnosis.rules[0].message: Too long"),
        (_rule(exception="no class"), "spec.diagnosis.rules[0].exception in body should match"),
        (_rule(exception="ValueError", verdict="Mixed"), 'supported values: "Transient", "Deterministic", "Unknown"'),
        (
            {"diagnosis": {"rules": [{"message": "x", "verdict": "Unknown"}] * 21}},
            "spec.diagnosis.rules: Too many: 21",
        ),
        ({"diagnosis": {"results": {"tls": {}}}}, "spec.diagnosis.results.tls: Invalid value: tls is for the server"),
        ({"broker": {"url": "redis://redis"}}, 'unknown field "spec.broker.url"'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_target_that_makes_no_sense_is_refused_with_its_place(
    cluster: Cluster, name: str, spec: dict[str, object], message: str
) -> None:
    assert message in cluster.refusal("create", "-f", "-", given=target(name, **spec))


def test_rules_of_a_diagnosis_are_accepted_as_the_page_has_them(cluster: Cluster, name: str) -> None:
    rules = [
        {"exception": "requests.exceptions.RequestException", "verdict": "Unknown"},
        {"message": r"(?i)^quota of [a-z]+ \(.*\) is used up$", "verdict": "Transient"},
    ]
    cluster.kubectl("create", "-f", "-", given=target(name, diagnosis={"rules": rules, "results": {}}))
