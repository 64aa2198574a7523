"""A recovery that gives back the messages in `unacked` whose consumer is gone, through the ports."""

import asyncio
from datetime import timedelta

import pytest

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.ports import Consumer, Run
from queue_recovery.recovery.preparing import Requeue
from sandbox.processes import until
from tests.recovery.fakes import CLUSTER, NOW, Case, target

STARTED = NOW - timedelta(hours=1)
"""When the oldest running process was started."""
BEFORE, SINCE = STARTED - timedelta(minutes=1), STARTED + timedelta(minutes=1)
ADDRESS = "10.1.0.7"


def redelivering(**fields: object) -> Case:
    """Return a recovery of a queue of which workers hold two messages from before they were started, and one since."""
    case = Case({"purge": {"mode": "None"}, "redeliver": {}, **fields})
    case.workers.add("worker", oldest_process=STARTED, connects_from=frozenset([ADDRESS]))
    case.broker.add("first", delivered=BEFORE)
    case.broker.add("second", delivered=BEFORE + timedelta(seconds=1))
    case.broker.add("running", delivered=SINCE)
    case.broker.add("waiting")
    return case


def consumer(address: str = ADDRESS) -> Consumer:
    return Consumer(id="7", address=address, age_seconds=60)


@pytest.mark.parametrize("queue", ["tts", "*"])
async def test_messages_from_before_the_oldest_process_are_given_back_and_consumed_next_in_their_order(
    queue: str,
) -> None:
    case = redelivering(queue=queue)
    case.broker.connections = [consumer()]

    status = await case.reaches("Succeeded", "Completed")

    assert case.broker.queued() == ["first", "second", "waiting"]
    assert [one.task_id for one in case.broker.held_by_workers["tts"]] == ["running"]
    assert status.redelivered is not None
    assert (status.redelivered.found, status.redelivered.redelivered, status.redelivered.left) == (3, 2, 1)
    assert status.message.startswith("2 messages given back to the queue; 1 message stays in unacked, because")
    assert "runs since 2029-12-31T23:00:00Z" in status.message
    assert (case.workers.calls.count("scale_to_zero"), case.workers.restarted, case.broker.locks) == (0, [], {})


async def test_without_a_running_process_everything_is_given_back_even_without_a_time() -> None:
    case = redelivering()
    case.workers.add("worker", oldest_process=None, pods=0)
    case.broker.add("timeless", held=True)

    status = await case.reaches("Succeeded")

    assert case.broker.queued() == ["timeless", "first", "second", "running", "waiting"]
    assert status.message == "4 messages given back to the queue"


async def test_a_worker_that_was_restarted_between_the_plan_and_the_step_counts_as_it_is_then() -> None:
    case = redelivering()
    later = NOW + timedelta(minutes=1)
    case.broker.on_call["pass_boundary"] = lambda: case.workers.add("worker", oldest_process=later)

    status = await case.reaches("Succeeded")

    assert status.plan is not None
    assert status.plan.redeliver == 2
    assert case.broker.queued() == ["first", "second", "running", "waiting"]


async def test_if_nothing_is_stranded_nothing_is_touched_and_the_message_says_what_helps() -> None:
    case = redelivering()
    case.workers.add("worker", oldest_process=BEFORE - timedelta(hours=1))

    status = await case.reaches("Succeeded", "NothingToDo")

    assert "no message to give back. 3 messages stay in unacked" in status.message
    assert status.message.endswith(
        ". If these workers are stuck, or one of them was killed, create a recovery with purge.mode: None, redeliver: "
        "{} and restart.annotate: true"
    )
    assert "open" not in case.broker.calls


async def test_a_connection_of_nobody_is_waited_for_and_nothing_is_given_back() -> None:
    case = redelivering()
    case.broker.connections = [consumer(), consumer("10.9.9.9")]
    working = case.start()

    message = await case.waits("UnknownConsumer")
    assert "comes from 10.9.9.9" in message
    assert case.broker.queued() == ["waiting"]

    case.broker.connections = [consumer()]
    case.environment.report_change()
    await working
    assert case.broker.queued() == ["first", "second", "waiting"]


async def test_a_connection_that_appears_after_the_start_holds_the_messages_back_too() -> None:
    case = redelivering()
    case.broker.on_call["pass_boundary"] = lambda: setattr(case.broker, "connections", [consumer("10.9.9.9")])
    working = case.start()

    await case.waits("UnknownConsumer")
    assert case.broker.queued() == ["waiting"]
    case.resource.change(cancel=True)
    await working
    assert (case.status.phase, case.broker.queued(), case.broker.locks) == ("Cancelled", ["waiting"], {})


async def test_a_connection_of_nobody_is_ignored_if_the_spec_says_so() -> None:
    case = redelivering(redeliver={"unknownConsumers": "Ignore"})
    case.broker.connections = [consumer("10.9.9.9")]

    await case.reaches("Succeeded")

    assert case.broker.queued() == ["first", "second", "waiting"]


async def test_workers_of_the_targets_other_queues_are_known_even_if_some_of_them_do_not_exist() -> None:
    case = redelivering()
    case.environment.targets["media"] = target({"tts": ["worker"], "mail": ["mailer"]})
    case.workers.add("mailer", connects_from=frozenset(["10.1.0.8"]))
    case.broker.connections = [consumer(), consumer("10.1.0.8")]
    await case.reaches("Succeeded")

    case = redelivering()
    case.environment.targets["media"] = target({"tts": ["worker"], "mail": ["missing"]})
    await case.reaches("Succeeded")
    assert case.broker.queued() == ["first", "second", "waiting"]


async def test_if_the_broker_lists_no_clients_the_grace_period_is_waited_for() -> None:
    case = redelivering()
    case.broker.connections = None
    case.workers.add("worker", grace_seconds=40)

    await case.reaches("Succeeded")

    assert 40 in case.environment.pauses
    assert case.broker.queued() == ["first", "second", "waiting"]


async def test_after_a_death_at_any_call_each_message_is_in_one_place_and_given_back_once() -> None:
    number, died = 0, True
    while died:
        case = redelivering()
        number += 1
        died = await case.dies_at(number)

        status = await case.reaches("Succeeded")

        assert case.broker.queued() == ["first", "second", "waiting"], number
        assert status.redelivered is not None
        assert status.redelivered.redelivered == 2, number
        assert case.broker.locks == {}, number
    assert number > 30


async def test_a_cancel_at_any_call_leaves_each_message_in_one_place_and_says_how_many_were_given_back() -> None:
    number, came = 0, True
    while came:
        case = redelivering()
        number += 1
        arrived = case.at_call(number, lambda case: case.resource.change(cancel=True))
        await case.reconciled()
        came = arrived()

        held = [one.task_id for one in case.broker.held_by_workers["tts"]]
        assert sorted([*case.broker.queued(), *held]) == ["first", "running", "second", "waiting"], number
        assert case.broker.locks == {}, number
        given = case.status.redelivered.redelivered if case.status.redelivered else 0
        assert given == len(case.broker.queued()) - 1, number
    assert number > 20


async def test_a_copy_gives_nothing_back() -> None:
    case = redelivering()
    await case.reaches("Succeeded")
    case.broker.add("again", delivered=BEFORE)

    copy = Case(
        {"purge": {"mode": "None"}, "redeliver": {}},
        environment=case.environment,
        uid="00000000-0000-0000-0000-000000000002",
    )

    await copy.reaches("Succeeded", "AlreadyExecuted")
    assert "again" not in case.broker.queued()


async def test_with_a_restart_what_the_former_processes_have_left_is_given_back_too() -> None:
    case = redelivering(restart={"annotate": True})

    status = await case.reaches("Succeeded")

    assert case.workers.restarted == ["worker"]
    assert case.broker.queued() == ["first", "second", "running", "waiting"]
    assert status.message == 'workers restarted; 3 messages given back to the queue; "tts": messages are consumed'


async def test_with_all_workers_at_0_messages_are_given_back_and_nobody_is_said_to_be_restarted() -> None:
    case = redelivering(restart={"annotate": True})
    case.workers.add("worker", replicas=0, pods=0, drained=True, oldest_process=None)

    status = await case.reaches("Succeeded")

    assert (case.workers.restarted, case.broker.queued()) == ([], ["first", "second", "running", "waiting"])
    assert status.message.startswith("3 messages given back to the queue. No worker consumes the queue")


KILLED = "2030-01-01T00:05:00Z"
"""When the former pod has to end."""


async def awaiting_a_former_pod() -> tuple[Case, "asyncio.Task[Requeue | None]"]:
    """Return a recovery that has restarted the workers, and waits for one of their former pods to end."""
    case = redelivering(restart={"annotate": True})
    stopping = {"stops_by": KILLED, "stopping": f'pod "old" is killed at {KILLED}', "oldest_process": STARTED}
    case.workers.on_call["restart"] = lambda: case.workers.on_call.update(
        follow=lambda: case.workers.change("worker", **stopping)
    )
    working = case.start()

    async def said() -> bool:
        return 'pod "old" is killed' in case.status.message

    await until(said, "the former pod to be named", seconds=10)
    case.workers.on_call.clear()
    return case, working


async def test_with_a_restart_the_former_pods_are_waited_for_unless_they_are_overdue() -> None:
    case, working = await awaiting_a_former_pod()
    assert "running" not in case.broker.queued()

    case.environment.time = NOW + timedelta(minutes=6)
    case.workers.change("worker", replicas=3)
    await working
    # It may still run on a lost node, so what it may hold stays.
    assert case.broker.queued() == ["first", "second", "waiting"]
    assert case.status.phase == "Succeeded"
    assert "a pod from before the restart that has not ended" in case.status.message


async def test_with_a_restart_a_pod_that_ends_some_seconds_after_it_was_killed_is_waited_for() -> None:
    case, working = await awaiting_a_former_pod()
    case.environment.time = NOW + timedelta(minutes=5, seconds=3)
    case.workers.change("worker", stopping=f'pod "old-but-one" is killed at {KILLED}')

    async def still_waits() -> bool:
        return working.done() or 'pod "old-but-one" is killed' in case.status.message

    await until(still_waits, "the wait to go on", seconds=10)
    assert "running" not in case.broker.queued()
    case.environment.time = NOW + timedelta(minutes=5, seconds=10)
    case.workers.change("worker", stops_by=None, stopping="", oldest_process=case.environment.time)
    await working
    assert case.broker.queued() == ["first", "second", "running", "waiting"]


async def test_a_dry_run_says_what_would_be_given_back() -> None:
    case = redelivering(suspend=True)
    working = case.start()

    await case.waits("Suspended")
    assert "would give back 2 of 3 messages in unacked; 1 would stay" in case.status.message
    assert case.broker.queued() == ["waiting"]
    await working


async def test_a_dry_run_with_a_restart_names_the_workers() -> None:
    case = redelivering(suspend=True, restart={"annotate": True})

    await case.reconciled()

    assert (
        'would restart Deployment "worker" (tasks that run have the grace period of their pods to end), then give back '
        "what none of them holds (2 of 3 messages in unacked by now)"
    ) in case.status.message


async def test_a_message_that_a_worker_has_taken_again_by_the_next_look_is_not_counted_as_left() -> None:
    case = redelivering()
    taken = iter([True])

    def take_one() -> None:
        if case.broker.queued()[0] == "first" and next(taken, False):
            case.broker.add("first", delivered=NOW)
            del case.broker.queues["tts"][0]

    case.broker.on_call["held"] = take_one

    status = await case.reaches("Succeeded")

    assert status.redelivered is not None
    assert (status.redelivered.found, status.redelivered.redelivered, status.redelivered.left) == (3, 2, 1)


async def test_the_ledger_says_that_it_is_executed_before_anything_is_given_back() -> None:
    case = redelivering()
    seen: list[bool] = []

    def look() -> None:
        seen.extend(entry.executed for entry in case.environment.fake_ledger.entries.values())

    case.broker.on_call["redeliver"] = look

    await case.reaches("Succeeded")

    assert seen
    assert all(seen)


async def test_a_redelivery_that_has_waited_for_the_lock_of_a_purge_gives_back_what_is_stranded_then() -> None:
    case = redelivering()
    first = Run(uid="elsewhere", name="media/first", cluster=CLUSTER, queue="tts")
    case.broker.lock(first)
    case.environment.existing["media/first"] = True
    working = case.start()
    await case.waits("Locked")

    case.broker.locks.clear()
    case.environment.report_change()
    await working

    assert (case.status.phase, case.broker.queued()) == ("Succeeded", ["first", "second", "waiting"])
    assert case.status.message.startswith("2 messages given back to the queue")


FARM = {"apiVersion": "example.org/v1", "kind": "Farm", "name": "worker"}


def of_a_farm(**fields: object) -> Case:
    """Return a redelivery of a queue whose worker is of a kind of which only the replicas and pods are known."""
    case = redelivering(**fields)
    case.environment.targets["media"] = target(queues=[{"name": "tts", "workers": [FARM]}])
    case.workers.add("worker", ref=WorkerRef.model_validate(FARM), oldest_process=STARTED)
    return case


async def test_workers_of_any_scalable_kind_say_since_when_they_run() -> None:
    case = of_a_farm()

    await case.reaches("Succeeded")

    assert case.broker.queued() == ["first", "second", "waiting"]


@pytest.mark.parametrize("redeliver", [None, {}], ids=["restart", "restart and redelivery"])
async def test_a_kind_whose_pods_nobody_knows_how_to_restart_is_refused_before_anything_is_touched(
    redeliver: dict[str, object] | None,
) -> None:
    case = of_a_farm(restart={"annotate": True}, redeliver=redeliver)

    status = await case.reaches("Failed", "WorkerKindUnsuited")

    assert "restart.annotate cannot be used" in status.message
    assert (status.drain_start_time, case.broker.queued(), case.workers.restarted) == (None, ["waiting"], [])


async def test_with_a_restart_pods_that_would_stay_are_waited_for_before_anything_is_touched() -> None:
    case = redelivering(restart={"annotate": True})
    case.workers.change("worker", keeps_pods="updateStrategy.type is OnDelete")
    working = case.start()

    await case.waits("PodsWouldNotRestart")

    assert (case.status.drain_start_time, case.broker.locks) == (None, {})
    case.workers.change("worker", keeps_pods=None)
    case.environment.report_change()
    await working
    assert (case.status.phase, case.workers.restarted) == ("Succeeded", ["worker"])


async def test_workers_of_other_queues_are_known_also_beside_one_that_does_not_exist() -> None:
    case = redelivering()
    case.environment.targets["media"] = target({"tts": ["worker"], "mail": ["mailer"], "old": ["missing"]})
    case.workers.add("mailer", connects_from=frozenset(["10.1.0.8"]))
    case.broker.connections = [consumer("10.1.0.8")]

    await case.reaches("Succeeded")

    assert case.broker.queued() == ["first", "second", "waiting"]


async def test_with_a_restart_a_former_pod_that_was_deleted_by_force_has_its_grace_period() -> None:
    case = redelivering(restart={"annotate": True})
    case.workers.add("worker", oldest_process=STARTED, grace_seconds=40, connects_from=frozenset([ADDRESS]))
    case.workers.on_call["restart"] = lambda: case.workers.on_call.update(
        follow=lambda: case.workers.change("worker", vanished=("old",))
    )
    working = case.start()

    async def said() -> bool:
        return 'the end of pod "old" was not observed' in case.status.message

    await until(said, "the former pod to be named", seconds=10)
    assert "running" not in case.broker.queued()

    case.environment.time = NOW + timedelta(seconds=42)
    case.workers.change("worker", replicas=3)
    await working
    assert case.broker.queued() == ["first", "second", "running", "waiting"]


async def test_where_connections_are_ignored_the_grace_period_is_waited_for() -> None:
    case = redelivering(redeliver={"unknownConsumers": "Ignore"})
    case.workers.add("worker", grace_seconds=40, oldest_process=STARTED)

    await case.reaches("Succeeded")

    assert 40 in case.environment.pauses
    assert case.broker.queued() == ["first", "second", "waiting"]


async def test_entries_that_end_in_kilobytes_are_judged_some_at_a_time() -> None:
    case = redelivering()
    case.broker.after = b" " * 2**20

    await case.reaches("Succeeded")

    first_pass = case.environment.log[case.environment.log.index("pass_boundary") :]
    assert case.broker.queued() == ["first", "second", "waiting"]
    assert first_pass[: first_pass.index("close")].count("look") >= 4
