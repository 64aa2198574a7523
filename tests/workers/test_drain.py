"""Following Deployments on a real API server: when they are drained, and what it costs to know."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Worker
from queue_recovery.workers import informer
from sandbox.processes import until
from tests.sample_worker import ref
from tests.workers.fleet import QUICK, RUN, SECONDS, Fleet, SlowWorkers, manifest, note

Changes = AsyncGenerator[Sequence[Worker], None]


async def next_change(changes: Changes) -> Sequence[Worker]:
    async with asyncio.timeout(SECONDS):
        return await anext(changes)


async def end_of_drain(changes: Changes) -> Sequence[Worker]:
    async with asyncio.timeout(SECONDS):
        async for workers in changes:
            if all(worker.drained for worker in workers):
                return workers
    raise AssertionError("the operator stopped following")


async def test_a_worker_that_takes_its_time_is_drained_when_it_has_ended_and_not_before(
    fleet: Fleet, tmp_path: Path
) -> None:
    slow = SlowWorkers(tmp_path)
    await fleet.roll_out(manifest(script=slow.script))
    await slow.running(2)
    await fleet.hold()
    await fleet.all_terminating(2)

    async def no_replicas_left() -> bool:
        return "replicas" not in (await fleet.deployment())["status"]

    await until(no_replicas_left, "the Deployment's status to count no replicas")
    found = await fleet.look()
    assert (found.replicas, found.pods, found.drained) == (0, 2, False)

    slow.end()

    found = await fleet.drained()
    assert found.pods == 0
    assert all(pod["status"]["phase"] in {"Succeeded", "Failed"} for pod in await fleet.pods())


async def test_waiting_costs_three_lists_and_three_watches_in_any_case_and_a_look_at_the_end(
    fleet: Fleet, tmp_path: Path
) -> None:
    await fleet.roll_out(manifest("other", replicas=1))
    slow = SlowWorkers(tmp_path)
    await fleet.roll_out(manifest(replicas=2, script=slow.script))
    await slow.running(2)
    await fleet.hold()
    asked_before = len(fleet.requests())

    async with aclosing(fleet.workers.follow([ref("worker"), ref("other")])) as changes:
        worker, other = await next_change(changes)
        assert (worker.name, other.name) == ("worker", "other")
        assert not worker.drained
        for replicas in (2, 1, 2):
            await fleet.kubectl("scale", "deployment/other", f"--replicas={replicas}")
            while (await next_change(changes))[1].replicas != replicas:
                pass
        verbs = [event["verb"] for event in fleet.requests()[asked_before:]]
        assert sorted(verbs) == ["list"] * 3 + ["watch"] * 3

        slow.end()
        async with asyncio.timeout(SECONDS):
            async for worker, _ in changes:
                if worker.drained:
                    break

    assert worker.note == note(2)

    async def watches_ended() -> bool:
        stages = [event["stage"] for event in fleet.requests()[asked_before:] if event["verb"] == "watch"]
        return stages.count("ResponseComplete") == 3

    await until(watches_ended, "the three watches to be closed")
    drained_looks = [event for event in fleet.requests()[asked_before:] if event["verb"] == "list"]
    assert len(drained_looks) <= 3 + 3 * 4


async def test_a_deployment_that_is_scaled_up_during_the_drain_is_not_drained_any_more(fleet: Fleet) -> None:
    await fleet.roll_out(manifest(replicas=1))
    await fleet.hold()

    async with aclosing(fleet.workers.follow([ref("worker")])) as changes:
        (drained,) = await end_of_drain(changes)
        await fleet.kubectl("scale", "deployment/worker", "--replicas=1")
        (revived,) = await next_change(changes)

    assert (revived.replicas, revived.drained) == (1, False)
    assert revived.generation > drained.generation
    assert (drained.scaled_by, revived.scaled_by) == ("queue-recovery", "kubectl")


async def test_who_has_set_the_replicas_last_is_known_also_of_one_that_applies_on_the_servers_side(
    fleet: Fleet,
) -> None:
    await fleet.apply(manifest(replicas=0))
    applied = await fleet.look()
    await fleet.kubectl("scale", "deployment/worker", "--replicas=1")
    scaled = await fleet.look()
    await fleet.apply(manifest(replicas=0))
    taken_back = await fleet.look()

    assert [each.scaled_by for each in (applied, scaled, taken_back)] == ["owner", "kubectl", "owner"]


async def test_pods_of_a_replica_set_that_is_deleted_meanwhile_are_waited_for(fleet: Fleet, tmp_path: Path) -> None:
    slow = SlowWorkers(tmp_path)
    await fleet.roll_out(manifest(replicas=1, script=slow.script, revisionHistoryLimit=0))
    await slow.running(1)
    seen = await fleet.roll_out(manifest(replicas=1, revisionHistoryLimit=0))

    async def only_the_new_one() -> bool:
        path = f"/apis/apps/v1/namespaces/{fleet.namespace}/replicasets"
        return len((await fleet.api.get(path))["items"]) == 1

    await until(only_the_new_one, "the old ReplicaSet to be deleted")
    await fleet.hold()

    async def only_the_old_pod() -> bool:
        return len(await fleet.pods()) == 1

    await until(only_the_old_pod, "the new pod to end")
    found = await fleet.look()
    assert (found.uid, found.pods, found.drained) == (seen.uid, 1, False)

    slow.end()

    await fleet.drained()


async def test_the_rollout_after_restoring_is_followed_to_its_end(fleet: Fleet) -> None:
    await fleet.roll_out(manifest(replicas=1))
    seen = await fleet.hold()
    await fleet.drained()
    await fleet.workers.scale_back(ref("worker"), seen.uid, RUN)

    waits = []
    async with aclosing(fleet.workers.follow([ref("worker")])) as changes, asyncio.timeout(SECONDS):
        async for (worker,) in changes:
            waits.append(worker.rollout)
            if worker.rollout is None:
                break

    assert waits[-1] is None
    assert worker.pods == 1
    assert all(wait is not None for wait in waits[:-1])


async def test_a_pod_whose_node_is_away_is_waited_for_and_named_with_its_time(fleet: Fleet) -> None:
    lost = manifest(replicas=1)
    lost["spec"]["template"]["spec"]["nodeName"] = "lost"
    await fleet.apply(lost)
    await until(fleet.pods, "the pod")
    await fleet.hold()
    await fleet.all_terminating(1)
    (pod,) = await fleet.pods()

    found = await fleet.look()

    assert not found.drained
    assert f'pod "{pod["metadata"]["name"]}" is killed at {pod["metadata"]["deletionTimestamp"]}' in found.stopping


async def test_a_pod_that_only_a_finalizer_keeps_after_its_end_is_not_waited_for(fleet: Fleet) -> None:
    await fleet.roll_out(manifest(replicas=1))
    (pod,) = await fleet.pods()
    await fleet.kubectl("patch", "pod", pod["metadata"]["name"], "-p", '{"metadata":{"finalizers":["media.io/keep"]}}')
    await fleet.hold()

    await fleet.drained()

    assert len(await fleet.pods()) == 1
    await fleet.kubectl("patch", "pod", pod["metadata"]["name"], "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')


async def test_a_pod_that_is_deleted_by_force_while_its_process_lives_is_named_as_vanished(
    fleet: Fleet, tmp_path: Path
) -> None:
    slow = SlowWorkers(tmp_path)
    await fleet.roll_out(manifest(replicas=2, script=slow.script))
    await slow.running(2)
    forced, _ = sorted(pod["metadata"]["name"] for pod in await fleet.pods())

    async with aclosing(fleet.workers.follow([ref("worker")])) as changes:
        await next_change(changes)
        await fleet.hold()
        await fleet.all_terminating(2)
        await fleet.kubectl("delete", "pod", forced, "--force", "--grace-period=0")
        slow.end()
        (worker,) = await end_of_drain(changes)

    assert worker.vanished == (forced,)
    assert worker.grace_seconds == SECONDS


async def test_pods_that_end_in_time_or_are_killed_after_it_have_not_vanished(fleet: Fleet) -> None:
    stubborn = manifest(replicas=2, script="import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)")
    pod = stubborn["spec"]["template"]["spec"]
    pod["containers"].append({**pod["containers"][0], "name": "quick", "command": ["python", "-c", QUICK]})
    pod["terminationGracePeriodSeconds"] = 1
    await fleet.roll_out(stubborn)

    async with aclosing(fleet.workers.follow([ref("worker")])) as changes:
        await next_change(changes)
        await fleet.hold()
        (worker,) = await end_of_drain(changes)

    assert worker.vanished == ()


async def test_a_disruption_budget_does_not_hinder_a_drain(fleet: Fleet) -> None:
    await fleet.roll_out(manifest(replicas=2))
    await fleet.kubectl("create", "pdb", "worker", "--selector=app=worker", "--min-available=2")

    async def guards() -> bool:
        path = f"/apis/policy/v1/namespaces/{fleet.namespace}/poddisruptionbudgets/worker"
        return bool((await fleet.api.get(path))["status"].get("expectedPods") == 2)

    await until(guards, "the budget to count the pods")
    await fleet.hold()

    assert (await fleet.drained()).pods == 0


async def test_an_autoscaler_leaves_a_deployment_at_zero_alone(fleet: Fleet) -> None:
    await fleet.roll_out(manifest(replicas=2))
    await fleet.kubectl("autoscale", "deployment/worker", "--min=2", "--max=3", "--cpu-percent=50")
    await fleet.hold()
    await fleet.drained()

    async def rests() -> bool:
        path = f"/apis/autoscaling/v2/namespaces/{fleet.namespace}/horizontalpodautoscalers/worker"
        conditions = (await fleet.api.get(path)).get("status", {}).get("conditions", [])
        return any(one["reason"] == "ScalingDisabled" for one in conditions)

    await until(rests, "the autoscaler to have looked at the Deployment", seconds=40)
    assert (await fleet.look()).replicas == 0


async def test_a_rollout_that_cannot_succeed_says_what_it_waits_for(fleet: Fleet) -> None:
    broken, late = manifest(replicas=1), manifest(replicas=1, progressDeadlineSeconds=1)
    for one in (broken, late):
        one["spec"]["template"]["spec"]["containers"][0]["image"] = "no-such-image"
    await fleet.apply(broken)

    async def waits_for(text: str) -> bool:
        return (await fleet.look()).rollout == text

    await until(fleet.pods, "the pod")
    (pod,) = await fleet.pods()
    name = pod["metadata"]["name"]
    why = f'pod "{name}" cannot pull its image (ImagePullBackOff). See kubectl describe pod {name} -n {fleet.namespace}'
    await until(lambda: waits_for(f"0 of 1 updated replicas are available; {why}"), "the pod to be missed")
    await fleet.apply(late)
    await until(lambda: waits_for(f"it exceeded its progress deadline; {why}"), "the deadline to be exceeded")


async def test_pods_that_end_again_and_again_are_named_in_words_that_stay_the_same(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=1, script="raise SystemExit(3)"))

    async def crashes() -> bool:
        return "keeps exiting with code 3 (CrashLoopBackOff)" in ((await fleet.look()).rollout or "")

    await until(crashes, "the pod's crashes to be told")


async def test_a_paused_deployment_is_reported_as_paused(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0, paused=True))

    assert (await fleet.look()).paused


async def test_deployments_come_in_the_order_in_which_they_were_named(fleet: Fleet) -> None:
    for name in ("a", "b", "c"):
        await fleet.apply(manifest(name, replicas=0))

    assert [worker.name for worker in await fleet.workers.look([ref("c"), ref("a")])] == ["c", "a"]


async def test_a_deployment_that_does_not_exist_is_named(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))

    for call in (
        fleet.workers.look([ref("worker"), ref("tts-worker")]),
        anext(fleet.workers.follow([ref("tts-worker"), ref("worker")])),
    ):
        with pytest.raises(
            RecoveryError, match=f'namespace "{fleet.namespace}" has no Deployment "tts-worker"'
        ) as caught:
            await call
        assert caught.value.reason == Reason.WORKER_NOT_FOUND


async def test_following_ends_with_the_same_when_a_deployment_is_deleted(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))

    async with aclosing(fleet.workers.follow([ref("worker")])) as changes:
        await next_change(changes)
        await fleet.kubectl("delete", "deployment", "worker")
        with pytest.raises(RecoveryError) as caught:
            await end_of_drain(changes)

    assert caught.value.reason == Reason.WORKER_NOT_FOUND


async def test_a_wait_that_is_cancelled_leaves_nothing_running(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "_LINGER_SECONDS", 0.0)
    await fleet.apply(manifest(replicas=0))
    before = asyncio.all_tasks()

    async def wait_indefinitely() -> None:
        async with aclosing(fleet.workers.follow([ref("worker")])) as changes:
            async for _ in changes:
                following.set()

    following = asyncio.Event()
    waiting = asyncio.create_task(wait_indefinitely())
    await asyncio.wait_for(following.wait(), SECONDS)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    watches = asyncio.all_tasks() - before
    assert watches
    _, running = await asyncio.wait(watches, timeout=SECONDS)
    assert not running
