"""The duration of a recovery beside a crowd in another namespace, against the same recovery alone.

    python -m benchmarks.neighbour [--recoveries 200] [--queues 20] [--rounds 1]

On a real API server with real controllers; pods are local processes. Each queue of the crowd has a Deployment, and as
many recoveries as the others; those of one queue follow one another.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from itertools import pairwise

from benchmarks.benchmark import Benchmark, Way
from benchmarks.crowd import Crowd, cluster, custom, deployment, operator
from benchmarks.watchman import Watchman
from sandbox.api import Api, Json

_GROUP = "/apis/queuerecovery.dev/v1alpha1"
_ALONE = 10
"""The number of runs alone in a round."""

_REST = 3.0
"""Seconds between two of them, so that they do not delay each other: controllers have a limited number of requests."""
_CROWD, _OTHER = "crowd", "other"


async def prepare(api: Api, crowd: Crowd, queues: int) -> None:
    """Create the crowd's namespace: a target of all queues, each with a Deployment of its own."""
    await crowd.create_secret(_CROWD, 1)
    for number in range(queues):
        await api.create(f"/apis/apps/v1/namespaces/{_CROWD}/deployments", deployment(f"worker-{number}"))
    listed = [
        {"name": f"work-{number}", "workers": [{"name": f"worker-{number}"}], "message": {"task": "work.run"}}
        for number in range(queues)
    ]
    target = {"broker": {"urlSecretRef": {"name": "redis", "key": "url"}}, "queues": listed}
    await api.create(f"{_GROUP}/namespaces/{_CROWD}/queuetargets", custom("QueueTarget", target))


async def recover_all(api: Api, recoveries: int, queues: int) -> None:
    """Create the crowd's recoveries, those of one queue one after the other."""
    for number in range(recoveries):
        jobs = [{"task": "work.run", "args": "[]"}]
        spec = {"targetRef": {"name": "team"}, "queue": f"work-{number % queues}", "jobs": jobs}
        body = custom("QueueRecovery", spec)
        body["metadata"]["name"] = f"number-{number:04}"
        await api.create(f"{_GROUP}/namespaces/{_CROWD}/queuerecoveries", body)


async def ended(api: Api, watchman: Watchman, recoveries: int) -> list[Json]:
    """Wait until the crowd has ended, and return its recoveries in the order of their creation."""
    await watchman.until(lambda: sum(where == _CROWD for where, _ in watchman.ended) == recoveries)
    found = (await api.get(f"{_GROUP}/namespaces/{_CROWD}/queuerecoveries"))["items"]
    return sorted(found, key=lambda one: str(one["metadata"]["name"]))


def check(found: list[Json], queues: int) -> None:
    """Raise if not all have succeeded, or those of one queue not in their order."""
    for queue in range(queues):
        of_queue = [one for one in found if one["spec"]["queue"] == f"work-{queue}"]
        if wrong := [one["status"]["message"] for one in of_queue if one["status"]["phase"] != "Succeeded"]:
            raise RuntimeError(f"not all of queue {queue} have succeeded: {wrong[0]}")
        ends = [one["status"]["completionTime"] for one in of_queue]
        if any(first > second for first, second in pairwise(ends)):
            raise RuntimeError(f"those of queue {queue} have not ended in the order of their creation: {ends}")


async def once(crowd: Crowd, watchman: Watchman) -> float:
    """Run the one recovery; return how long it took."""
    began = time.monotonic()
    await crowd.recover()
    await watchman.until(lambda: watchman.phases.get(_OTHER) == "Succeeded")
    took = time.monotonic() - began
    await crowd.clear()
    await watchman.until(lambda: not watchman.phases.get(_OTHER))
    await asyncio.sleep(_REST)
    return took


async def measure(recoveries: int, queues: int, rounds: int) -> list[Way]:
    """In each round, run the recovery alone, then repeatedly until the crowd has ended."""
    alone = Way("alone", "")
    beside = Way(f"beside {recoveries} of one namespace, on {queues} queues", alone.name)
    watchman = Watchman()
    async with AsyncExitStack() as stack:
        sandbox, api = await stack.enter_async_context(cluster([_CROWD, _OTHER]))
        crowd = Crowd(api, await sandbox.start_broker(), [_OTHER])
        await stack.enter_async_context(watchman.watching(api))
        await crowd.prepare()
        await prepare(api, crowd, queues)
        await stack.enter_async_context(operator(sandbox))
        await watchman.until(lambda: watchman.usable >= {_CROWD, _OTHER})
        for _ in range(rounds):
            for _ in range(_ALONE):
                alone.note(all=await once(crowd, watchman))
            began = time.monotonic()
            creating = asyncio.ensure_future(recover_all(api, recoveries, queues))
            await watchman.until(lambda: any(where == _CROWD for where, _ in watchman.ended))
            ending = asyncio.ensure_future(ended(api, watchman, recoveries))
            times = []
            while not ending.done():
                times.append(await once(crowd, watchman))
                beside.note(all=times[-1])
            await creating
            check(await ending, queues)
            beside.note(crowd=time.monotonic() - began, longest=max(times))
            await api.delete(f"{_GROUP}/namespaces/{_CROWD}/queuerecoveries", {})
            watchman.ended.clear()
    return [alone, beside]


BENCHMARK = Benchmark(
    name="neighbour",
    title="A recovery beside two hundred of another namespace",
    aim="all of the crowd end in order, and the one takes at most 1.3 times as long as alone.",
    columns={"all": "until it is through, s", "longest": "the longest time, s", "crowd": "until the crowd is, s"},
    options={"recoveries": 200, "queues": 20, "rounds": 1},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
