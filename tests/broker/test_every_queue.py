"""Recovering several queues in one go: one lock and one boundary for each, and one look at `unacked` for all."""

import json
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from queue_recovery.api.select import PurgeSelect
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run, Taken
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, State, everything, recovery, recovery_of, seen_jobs, tasks
from tests.broker.conftest import Connect, on_one_server
from tests.broker.dying import dying, dying_at, sends_twice
from tests.broker.test_commands_sent import watched
from tests.broker.test_taking_messages import Fields

LATER = datetime(2030, 1, 1, tzinfo=UTC)
QUEUES = ("index", "mail", "tts")
OWN = "queuerecovery.dev:"


@pytest.fixture
def runs() -> list[Run]:
    """A recovery of three queues, of which `mail` holds nothing."""
    return recovery_of(*QUEUES)


def fill(application: Application) -> None:
    """Put messages everywhere: into two of the three queues, and into one that is none of the recovery's business."""
    for queue in ("index", "tts", "other"):
        application.enqueue(queue, *(f"{queue}-{n}" for n in range(4)))
        application.enqueue(queue, f"{queue}-low", priority=6)
        application.hold(queue, 2)


def messages(value: object) -> list[str]:
    """Return the ids of the messages in a list, or in a hash of `unacked`'s form."""
    if isinstance(value, dict):
        return [json.loads(entry)[0]["headers"]["id"] for entry in value.values()]
    if isinstance(value, list) and all(isinstance(one, bytes) for one in value):
        return [json.loads(message)["headers"]["id"] for message in value]
    return []


def of_queue(state: State, queue: str) -> dict[bytes, object]:
    """Return the lists of a queue."""
    names = (queue.encode(), f"{queue}{SEP}".encode())
    return {key: value for key, value in state.items() if key == names[0] or key.startswith(names[1])}


async def test_all_of_the_queues_is_taken_in_one_go_and_nothing_of_any_other(
    broker: RedisBroker, application: Application, redis: Redis, runs: list[Run]
) -> None:
    fill(application)
    before = await everything(redis)
    held = before[b"unacked"]
    assert isinstance(held, dict)
    sends_twice(broker)

    assert (await broker.count(*QUEUES)).ready == 6
    await broker.run(*runs).open()
    taken = await broker.run(*runs).take()

    after = await everything(redis)
    uid = runs[0].uid.partition("/")[0]
    assert taken == Taken(quarantine=f"{OWN}quarantine:{uid}", ready=6, unacked=4, undecodable=0)
    assert of_queue(after, "other") == of_queue(before, "other")
    assert not {key for queue in QUEUES for key in of_queue(after, queue)}
    for queue in ("index", "tts"):
        quarantine = f"{taken.quarantine}/{queue}:1:"
        assert after[f"{quarantine}ready:0".encode()] == before[queue.encode()]
        assert after[f"{quarantine}ready:6".encode()] == before[f"{queue}{SEP}6".encode()]
        assert set(after[f"{quarantine}unacked".encode()]) == {  # type: ignore[call-overload]
            tag for tag, entry in held.items() if f'"{queue}"]'.encode() in entry
        }
    assert after[b"unacked"] == {tag: entry for tag, entry in held.items() if b'"other"]' in entry}


async def test_one_queue_that_is_held_keeps_all_locks_free_and_is_named(
    connect: Connect, redis: Redis, runs: list[Run]
) -> None:
    await connect().run(recovery("mail")).open()

    for _ in range(2):
        with pytest.raises(RecoveryError) as refused:
            await connect().run(*runs).open()

    assert (refused.value.reason, refused.value.message) == (
        "Locked",
        'queue "mail" is held by recovery "media/tts-wrong-shape"; this recovery starts when that one has ended',
    )
    assert await redis.keys(f"{OWN}lock:*") == [f"{OWN}lock:mail".encode()]
    assert len(await redis.keys(f"{OWN}run:*")) == 1


async def test_a_recovery_of_one_queue_waits_for_one_of_all(broker: RedisBroker, runs: list[Run]) -> None:
    await broker.run(*runs).open()

    with pytest.raises(RecoveryError, match='"tts" is held by recovery "media/everything"'):
        await broker.run(recovery("tts")).open()
    holders = await broker.holders("tts", "other")
    assert {(queue, holder.uid) for queue, holder in holders.items()} == {("tts", runs[0].uid.partition("/")[0])}
    await end(broker, runs)
    await broker.run(recovery("tts")).open()


async def test_two_recoveries_that_want_each_others_queues_never_hold_a_part_of_them(
    connect: Connect, redis: Redis
) -> None:
    one, other = recovery_of("a", "b", "c"), recovery_of("c", "d", "e")
    await connect().run(*one).open()

    with pytest.raises(RecoveryError, match='"c" is held'):
        await connect().run(*other).open()

    assert sorted(await redis.keys(f"{OWN}lock:*")) == [f"{OWN}lock:{queue}".encode() for queue in "abc"]


async def test_many_locks_of_others_are_named_in_few_words(connect: Connect) -> None:
    queues = [f"q{n}" for n in range(8)]
    for queue in queues:
        await connect().run(recovery(queue)).open()

    with pytest.raises(RecoveryError, match='"q4" is held by recovery "media/tts-wrong-shape" and 3 more; this'):
        await connect().run(*recovery_of(*queues)).open()


@on_one_server
async def test_a_process_that_dies_anywhere_leaves_what_the_next_one_completes(
    connect: Connect, application: Application, redis: Redis
) -> None:
    for trips in range(200):
        await redis.flushall()
        application.channel.qos._delivered.clear()
        fill(application)
        other = of_queue(await everything(redis), "other")
        runs = recovery_of(*QUEUES)
        mortal = connect()
        with dying(mortal, trips) as deaths:
            await mortal.run(*runs).open()
            await mortal.run(*runs).take()
        heir = connect()
        await heir.run(*runs).open()
        taken = await heir.run(*runs).take()
        assert (taken.ready, taken.unacked, len(await redis.keys(f"{taken.quarantine}*"))) == (6, 4, 8)
        assert of_queue(await everything(redis), "other") == other
        assert await redis.hlen("unacked") == 2
        if not deaths:
            break
    assert trips > 20


@on_one_server
async def test_wherever_a_process_dies_an_ending_leaves_each_message_in_one_place_and_no_lock(
    connect: Connect, application: Application, redis: Redis
) -> None:
    for trips in range(200):
        await redis.flushall()
        application.channel.qos._delivered.clear()
        fill(application)
        runs = recovery_of(*QUEUES)
        mortal = connect()
        with dying(mortal, trips) as deaths:
            await mortal.run(*runs).open()
            await mortal.run(*runs).take()
            await end(mortal, runs)

        await end(connect(), runs)

        state = await everything(redis, without=[f"{OWN}run"])
        found = sorted(name for value in state.values() for name in messages(value))
        wanted = [f"{queue}-{n}" for queue in ("index", "other", "tts") for n in ("0", "1", "2", "3", "low")]
        assert found == wanted
        assert not await redis.keys(f"{OWN}lock:*")
        for run in runs:
            keys = [key for key in state if key.startswith(f"{OWN}quarantine:{run.uid}:".encode())]
            assert all(name.startswith(run.queue) for key in keys for name in messages(state[key]))
        if not deaths:
            break
    assert trips > 30


@on_one_server
async def test_wherever_a_process_dies_an_ending_leaves_the_message_of_a_job_that_is_listed_for_another_queue(
    connect: Connect, application: Application, redis: Redis
) -> None:
    for trips in range(200):
        await redis.flushall()
        application.enqueue("tts", "left", "taken")
        runs = recovery_of("index", "tts")
        mortal = connect()
        await mortal.run(*runs).open()
        await mortal.run(*runs).freeze({"index": seen_jobs("left", recoverable=False)})
        with dying(mortal, trips) as deaths:
            await mortal.run(*runs).take()

        await end(connect(), runs)

        assert application.consume("tts") in (["left"], ["left", "taken"])
        if not deaths:
            break
    assert trips > 10


async def end(broker: RedisBroker, runs: list[Run]) -> None:
    """Do what an ending does."""
    await broker.run(*runs).close()
    await broker.run(*runs).release(expires=LATER, retain=True)


async def test_a_second_attempt_takes_what_has_come_to_any_of_the_queues(
    broker: RedisBroker, application: Application, runs: list[Run]
) -> None:
    fill(application)
    await broker.run(*runs).open()
    await broker.run(*runs).take()
    application.enqueue("mail", "late")
    application.enqueue("tts", "late")

    taken = await broker.run(*runs).take(attempt=2)

    assert (taken.ready, taken.unacked) == (8, 4)
    assert await broker.run(*runs).take(attempt=2) == taken


async def test_task_ids_are_looked_for_in_all_of_the_queues_and_in_no_other(
    broker: RedisBroker, application: Application
) -> None:
    fill(application)

    found = await broker.queued_task_ids(["index-0", "tts-3", "other-3", "other-0", "none"], *QUEUES)

    assert found == {"index-0", "tts-3"}


async def test_closing_between_two_boundaries_keeps_what_was_taken_and_gives_the_rest_back(
    connect: Connect, application: Application, redis: Redis, runs: list[Run]
) -> None:
    fill(application)
    before = await everything(redis)
    mortal = connect()
    await mortal.run(*runs).open()
    with dying_at(mortal, Script.BOUNDARY, 3):
        await mortal.run(*runs).take()

    closed = await connect().run(*runs).close()

    after = await everything(redis)
    assert (closed.purged, closed.unpurged) == (frozenset({"index", "mail"}), frozenset({"tts"}))
    assert not of_queue(after, "index")
    for queue in ("tts", "other"):
        assert of_queue(after, queue) == of_queue(before, queue)
    held = before[b"unacked"]
    assert isinstance(held, dict)
    assert after[b"unacked"] == {tag: entry for tag, entry in held.items() if b'"index"]' not in entry}
    taken = closed.taken
    assert taken is not None
    assert (taken.ready, taken.unacked) == (3, 2)


async def test_a_forged_record_of_one_queue_leaves_no_other_queue_open_to_a_late_process(
    connect: Connect, application: Application, redis: Redis, runs: list[Run]
) -> None:
    fill(application)
    await connect().run(*runs).open()
    await redis.delete(f"{OWN}run:{runs[0].uid}")
    await redis.set(f"{OWN}run:{runs[0].uid}", "forged")

    with pytest.raises(RecoveryError):
        await connect().run(*runs).refuse()

    for run in runs[1:]:
        with pytest.raises(RecoveryError, match="AlreadyClosed"):
            await connect().run(run).take()


async def test_of_each_queue_what_its_selection_leaves_stays(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    runs = recovery_of("index", "tts", select=PurgeSelect(min_retries=3))
    for queue in ("index", "tts"):
        for n in range(6):
            application.send(queue, f"{queue}-{n}", retries=n)
    application.hold("index", 1)

    await broker.run(*runs).open()
    await broker.run(*runs).freeze({"index": seen_jobs("index-0", "tts-1", "tts-5")})
    taken = await broker.run(*runs).take()

    assert (taken.ready, taken.unacked, taken.left) == (6, 0, 6)
    assert taken.left_ids == {"index-0", "tts-1"}
    assert application.consume("tts") == ["tts-0", "tts-1", "tts-2"]
    assert application.consume("index") == ["index-1", "index-2"]
    assert await redis.hlen("unacked") == 1


async def test_copies_of_two_queues_are_no_riddle_when_both_are_taken_and_one_when_a_third_has_them_too(
    broker: RedisBroker, application: Application, runs: list[Run]
) -> None:
    for queue in ("index", "tts"):
        application.bind(queue, "tasks", "direct", "both")
    application.publish("tasks", "both", "copied")
    application.hold("tts", 1)

    count = await broker.count("index", "tts")
    assert (count.ready, count.unacked) == (1, 1)
    application.bind("archive", "tasks", "direct", "both")
    with pytest.raises(RecoveryError, match="copies messages of the queue to archive too"):
        await broker.count("index", "tts")
    await broker.run(*runs).open()
    with pytest.raises(RecoveryError, match="SharedRoute"):
        await broker.run(*runs).take()


async def test_a_job_is_pushed_into_its_own_queue_and_its_marker_is_that_runs(
    broker: RedisBroker, redis: Redis, runs: list[Run]
) -> None:
    jobs = tasks(3)
    run = broker.run(*runs)
    await run.open()
    await run.take()

    for _ in range(2):
        await run.push({"tts": jobs[:2], "mail": jobs[2:]})

    assert [await redis.llen(queue) for queue in QUEUES] == [0, 1, 2]
    assert await run.pushed() == {job.key for job in jobs}
    assert [len(await broker.run(one).pushed()) for one in runs] == [0, 1, 2]
    assert (await run.close()).pushed == {job.key for job in jobs}


async def test_retention_asks_for_the_recovery_and_unlinks_the_quarantine_of_each_queue(
    broker: RedisBroker, application: Application, redis: Redis, runs: list[Run]
) -> None:
    fill(application)
    await broker.run(*runs).open()
    taken = await broker.run(*runs).take()
    await end(broker, runs)
    assert len(await redis.keys(f"{taken.quarantine}*")) == 8
    asked = []

    async def is_live(name: str, uid: str) -> bool:
        asked.append((name, uid))
        return False

    assert await broker.expire_quarantines("this-cluster", is_live, LATER) == 3
    assert asked == [("media/everything", runs[0].uid.partition("/")[0])]
    assert not await redis.keys(f"{taken.quarantine}*")


@pytest.mark.thorough
async def test_a_hundred_queues_cost_one_look_at_unacked_and_no_script_touches_two_of_them(
    connect: Connect, server: Server, redis: Redis
) -> None:
    fields: Fields = {f"tag{n}": f'[{{"headers": {{}}}}, "", "q{n % 100:02}"]' + " " * 100 for n in range(2000)}
    spent = {}
    for count in (1, 100):
        await redis.flushall()
        await redis.hset("unacked", mapping=fields)
        broker, runs = connect(), recovery_of(*(f"q{n:02}" for n in range(count)))
        async with watched(server, redis) as sent:
            await broker.run(*runs).open()
            taken = await broker.run(*runs).take()
        assert taken.unacked == 20 * count
        scripts = [words for words in sent.direct if words[0].upper() == "EVAL"]
        looks = [words for words in scripts if words[1].startswith("-- Reads the next entries of a hash")]
        spent[count] = len(looks)
        assert len(sent.direct) <= 10 * count + spent[count] + 5  # PINGs too, one for each pass
        for words in [words for words in scripts[1:] if words not in looks]:
            queues = {key.partition("/")[2][:3] for key in words[3 : 3 + int(words[2])] if "/" in key}
            assert len(queues) == 1

    assert spent[100] <= spent[1]
