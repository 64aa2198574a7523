"""What the API server does with both resources: defaults, refusals, and what people see of them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from queue_recovery.api.crd import RESOURCES, Resource, definition
from queue_recovery.api.recovery_spec import JobSpec, QueueRecoverySpec
from tests.manifests.conftest import Cluster
from tests.manifests.objects import FIXED, patch, patch_refusal, recovery, target

CHANGES: dict[str, object] = {
    "notAfter": "2099-01-01T00:00:00Z",
    "targetRef": {"name": "other"},
    "queue": "other",
    "jobs": [{"id": "a"}],
    "purge": {"retentionSeconds": 1},
    "restart": {"strategy": "Manual"},
    "reenqueue": {"ratePerSecond": 1},
    "restoreFrom": {"name": "earlier"},
    "redeliver": {},
    "startingDeadlineSeconds": 1,
    "activeDeadlineSeconds": 1,
}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_the_server_takes_a_definition_and_drops_nothing_of_its_schema(cluster: Cluster, resource: Resource) -> None:
    stored = cluster.read("customresourcedefinition", f"{resource.plural}.queuerecovery.dev")
    conditions = {condition["type"]: condition["status"] for condition in stored["status"]["conditions"]}
    (sent,) = definition(resource)["spec"]["versions"]

    assert stored["spec"]["versions"] == [sent]
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_a_recovery_of_three_lines_gets_the_defaults_of_the_contract(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name))

    stored = cluster.read("queuerecovery", name)

    assert stored["spec"] == {
        "targetRef": {"name": "media"},
        "queue": "tts",
        "jobs": [],
        "purge": {"mode": "Quarantine", "retentionSeconds": 604800, "takeUnreadable": False},
        "restart": {"annotate": False, "strategy": "Recreate", "consumptionDeadlineSeconds": 60},
        "reenqueue": {"ratePerSecond": 0},
        "startingDeadlineSeconds": 900,
        "activeDeadlineSeconds": 1800,
        "suspend": False,
        "cancel": False,
    }
    assert stored["spec"] == QueueRecoverySpec.model_validate(stored["spec"]).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )


def test_a_part_that_is_given_in_part_gets_the_rest_of_its_defaults(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, purge={"mode": "None"}))

    stored = cluster.read("queuerecovery", name)

    assert stored["spec"]["purge"] == {"mode": "None", "retentionSeconds": 604800, "takeUnreadable": False}


def test_a_recovery_that_gives_messages_back_lists_no_jobs_and_gets_the_defaults(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, purge={"mode": "None"}, redeliver={}))

    stored = cluster.read("queuerecovery", name)

    assert stored["spec"]["redeliver"] == {"unknownConsumers": "Wait"}
    assert "jobs" not in stored["spec"]


def test_what_was_never_checked_says_so_with_any_status_that_was_sent(cluster: Cluster, name: str) -> None:
    for made, kind in ((recovery(name), "queuerecovery"), (target(name), "queuetarget")):
        cluster.kubectl("create", "-f", "-", given={**made, "status": {"observedGeneration": 1}})

        assert cluster.read(kind, name)["status"] == {"observedGeneration": -1}


def test_a_target_gets_celerys_own_keys_as_defaults(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=target(name))

    stored = cluster.read("queuetarget", name)

    assert stored["spec"]["broker"]["transportOptions"] == {
        "globalKeyPrefix": "",
        "sep": "\x06\x16",
        "prioritySteps": [0, 3, 6, 9],
        "unackedKey": "unacked",
        "unackedIndexKey": "unacked_index",
        "masterName": "",
        "sentinelKwargs": {"username": "", "ssl": False},
    }


@pytest.mark.parametrize("field", [f.alias for f in QueueRecoverySpec.model_fields.values()])
def test_only_suspend_and_cancel_can_be_changed(cluster: Cluster, name: str, field: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name))

    if field in {"suspend", "cancel"}:
        assert "patched" in patch(cluster, name, {"spec": {field: True}})
    else:
        refusal = patch_refusal(cluster, name, {"spec": {field: CHANGES[field]}})
        assert f"spec.{field}: {FIXED}" in refusal


def test_the_active_deadline_can_be_raised(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name))

    assert "patched" in patch(cluster, name, {"spec": {"activeDeadlineSeconds": 1801}})


def test_a_job_cannot_be_changed_from_a_number_to_its_text(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, jobs=[{"id": 7}]))

    assert f"spec.jobs: {FIXED}" in patch_refusal(cluster, name, {"spec": {"jobs": [{"id": "7"}]}})


def test_a_selection_cannot_be_changed(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, purge={"select": {"tasks": ["a"], "minRetries": 1}}))

    for change in ({"minRetries": 2}, {"minRetries": None}, {"tasks": ["a", "b"]}, None):
        assert f"spec.purge: {FIXED}" in patch_refusal(cluster, name, {"spec": {"purge": {"select": change}}})


def test_what_is_put_back_cannot_be_changed_and_is_the_original_unless_asked_for(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, restoreFrom={"name": "earlier", "taskIds": ["a"]}))

    assert cluster.read("queuerecovery", name)["spec"]["restoreFrom"]["as"] == "Original"
    for change in ({"name": "other"}, {"taskIds": ["a", "b"]}, {"taskIds": None}, {"as": "New"}, None):
        refusal = patch_refusal(cluster, name, {"spec": {"restoreFrom": change}})
        assert f"spec.restoreFrom: {FIXED}" in refusal


def test_a_suspended_recovery_can_go_on_and_be_suspended_again(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, suspend=True))

    for suspend in (False, True):
        assert "patched" in patch(cluster, name, {"spec": {"suspend": suspend}})


@pytest.mark.parametrize("change", [False, None], ids=["false", "left out"])
def test_a_cancelled_recovery_stays_cancelled(cluster: Cluster, name: str, change: object) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name, cancel=True))

    refusal = patch_refusal(cluster, name, {"spec": {"cancel": change}})

    assert "spec.cancel: Forbidden: a cancelled recovery cannot be un-cancelled" in refusal


def test_applying_the_same_manifest_again_does_not_uncancel(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name))
    patch(cluster, name, {"spec": {"cancel": True}})

    assert "unchanged" in cluster.kubectl("apply", "-f", "-", given=recovery(name))
    assert cluster.read("queuerecovery", name)["spec"]["cancel"] is True


def test_a_recovery_of_every_queue_takes_jobs_that_say_theirs(cluster: Cluster, name: str) -> None:
    jobs = [{"id": "a", "queue": "tts"}, {"task": "mail.send", "queue": "mail"}]
    cluster.kubectl("apply", "-f", "-", given=recovery(name, queue="*", jobs=jobs))

    assert cluster.read("queuerecovery", name)["spec"]["jobs"] == jobs
    assert cluster.kubectl("get", "qr", name).splitlines()[1].split()[1] == "*"


def test_ids_keep_their_type(cluster: Cluster, name: str) -> None:
    jobs: list[dict[str, object]] = [{"id": 7}, {"id": "7"}, {"id": 2**63 - 1}, {"id": "662f1c0e9d3e4b0001a1b2c3"}]
    cluster.kubectl("apply", "-f", "-", given=recovery(name, jobs=jobs))

    assert cluster.read("queuerecovery", name)["spec"]["jobs"] == jobs


def test_kubectl_prints_what_the_contract_says(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name))
    status = {
        "phase": "Reenqueuing",
        "message": "enqueuing",
        "messages": {"quarantined": 12},
        "jobs": {"progress": "2/3"},
        "quarantine": {"name": "queuerecovery.dev:quarantine:it", "messages": 12},
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Reenqueuing",
                "message": "enqueuing",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-03-01T03:00:00Z",
            }
        ],
    }
    patch(cluster, name, {"status": status}, "queuerecovery", "--subresource=status")

    head, row = cluster.kubectl("get", "qr", name).splitlines()
    wide_head, wide_row = cluster.kubectl("get", "qr", name, "--output=wide").splitlines()

    assert head.split() == ["NAME", "QUEUE", "PHASE", "REASON", "PURGED", "RE-ENQUEUED", "AGE"]
    assert row.split()[:-1] == [name, "tts", "Reenqueuing", "Reenqueuing", "12", "2/3"]
    assert wide_head.split()[7:] == ["TARGET", "MESSAGE", "QUARANTINE", "REDELIVERED"]
    assert wide_row.split()[7:] == ["media", "enqueuing", "queuerecovery.dev:quarantine:it"]


def test_kubectl_prints_of_a_target_what_people_ask_redis_for(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=target(name))
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind, reason in (
            ("Ready", "JobStoreUnavailable"),
            ("BrokerReachable", "Reachable"),
            ("JobStoreReachable", "JobStoreUnavailable"),
        )
    ]
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"depth": "tts=0+3", "unacked": 4, "oldestUnackedTime": an_hour_ago, "conditions": conditions}
    patch(cluster, name, {"status": status}, "queuetarget", "--subresource=status")

    head, row = cluster.kubectl("get", "qt", name).splitlines()
    wide_head, wide_row = cluster.kubectl("get", "qt", name, "--output=wide").splitlines()

    titles = ["NAME", "READY", "BROKER", "JOB STORE", "DEPTH", "STUCK", "OLDEST UNACKED", "AGE"]
    assert re.split(r"  +", head.strip()) == titles
    assert row.split()[:-1] == [name, "JobStoreUnavailable", "Reachable", "JobStoreUnavailable", "tts=0+3", "60m"]
    assert re.split(r"  +", wide_head.strip()) == [*titles, "UNACKED", "CHECKED"]
    assert wide_row.split()[7] == "4"


def test_both_are_listed_as_celery(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name))
    cluster.kubectl("apply", "-f", "-", given=target(name))

    listed = cluster.kubectl("get", "celery", f"--field-selector=metadata.name={name}", "--output=name").split()

    assert listed == [f"queuerecovery.queuerecovery.dev/{name}", f"queuetarget.queuerecovery.dev/{name}"]


def test_a_status_with_a_time_that_is_none_is_refused(cluster: Cluster, name: str) -> None:
    cluster.kubectl("apply", "-f", "-", given=recovery(name))

    refusal = cluster.refusal(
        "patch",
        "queuerecovery",
        name,
        "--subresource=status",
        "--type=merge",
        '--patch={"status": {"completionTime": "yesterday"}}',
    )

    assert "must be of type date-time" in refusal


def test_kubectl_explains_a_part_with_its_choices_and_defaults(cluster: Cluster) -> None:
    said = " ".join(cluster.kubectl("explain", "queuerecovery.spec.purge").split())

    for words in (
        "What happens to the messages in the queue.",
        "enum: Quarantine, None",
        "stop the workers, take the queue's messages out of Redis' lists and of `unacked`, and store them",
        "Default: 604800.",
    ):
        assert words in said


@pytest.mark.parametrize("field", ["id", "args", "kwargs"])
def test_kubectl_explains_by_an_example_what_a_type_does_not_say(cluster: Cluster, field: str) -> None:
    said = " ".join(cluster.kubectl("explain", f"queuerecovery.spec.jobs.{field}").split())

    examples = re.findall(rf"`({field}: [^`]*)`", said)
    assert examples
    for example in examples:
        JobSpec.model_validate({**({} if field == "id" else {"task": "tts.render"}), **yaml.safe_load(example)})


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_kubectl_explains_every_field_of_a_spec(cluster: Cluster, resource: Resource) -> None:
    said = cluster.kubectl("explain", f"{resource.plural}.spec", "--recursive")

    for field in resource.spec.model_fields.values():
        assert f"\n  {field.alias}\t" in said
