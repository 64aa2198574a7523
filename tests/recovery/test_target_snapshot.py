"""A target that is edited while a recovery runs: the recovery uses the keys and the collection of its start."""

from queue_recovery.api.servers import JobCollection, KeyOptions
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.target_snapshot import as_started, snapshot_of
from tests.recovery.fakes import Case, target

EDITED = target(
    broker={
        "urlSecretRef": {"name": "rotated", "key": "url"},
        "transportOptions": {"sep": "::", "unackedKey": "held", "masterName": "other"},
    },
    jobStore={
        "mongodb": {
            "urlSecretRef": {"name": "rotated", "key": "url"},
            "database": "app",
            "collection": "others",
            "fields": {"status": "state"},
        }
    },
)


def keys(of: QueueTargetSpec) -> KeyOptions:
    return snapshot_of(of).transport_options


def collection(of: QueueTargetSpec) -> JobCollection | None:
    return snapshot_of(of).mongodb


def test_the_keys_and_the_collection_are_those_of_the_start_and_the_way_to_the_servers_is_todays() -> None:
    used = as_started(EDITED, snapshot_of(target()))

    assert (keys(used), collection(used)) == (keys(target()), collection(target()))
    assert used.secrets == ["rotated"]
    assert used.broker.transport_options.master_name == "other"


def test_before_its_start_a_recovery_uses_the_target_as_it_is() -> None:
    assert as_started(EDITED, None) == EDITED


def test_a_job_store_that_is_added_or_removed_after_the_start_is_taken_as_it_is() -> None:
    without = target(jobStore=None)

    assert collection(as_started(EDITED, snapshot_of(without))) == collection(EDITED)
    assert as_started(without, snapshot_of(EDITED)).job_store is None


async def test_no_effect_after_an_edit_goes_to_other_keys_or_another_collection_wherever_the_operator_dies() -> None:
    number, died = 0, True
    edits_after_the_start = 0
    while died:
        case = Case(jobs=["a", "b"])
        case.broker.add("old-a")
        number += 1
        died = await case.dies_at(number)
        started = case.status.drain_start_time is not None
        edits_after_the_start += died and started
        case.environment.targets["media"] = EDITED
        before = len(case.environment.connected)

        await case.reaches("Succeeded")

        expected = target() if started else EDITED
        later = case.environment.connected[before:]
        assert {(str(keys(each)), str(collection(each))) for each in later} <= {
            (str(keys(expected)), str(collection(expected)))
        }
    assert edits_after_the_start > 20
