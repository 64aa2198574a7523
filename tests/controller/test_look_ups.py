"""A DNS server that does not answer for one namespace's hosts delays neither another namespace nor the operator."""

import asyncio
import socket
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, AppsApi, Configuration

from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.broker.connection import connecting
from queue_recovery.controller import look_ups
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.kopf_session import open_session
from queue_recovery.controller.look_ups import Threads
from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.watches import Watches
from queue_recovery.jobs import connecting as connecting_stores
from queue_recovery.recovery.destinations import Destinations
from queue_recovery.recovery.errors import RecoveryError
from sandbox.broker import Broker as Server
from sandbox.processes import Scope, until
from tests.controller.environments import GivenSecrets, environment_of
from tests.controller.replicas import Replicas
from tests.controller.unanswered import ZONE

SECONDS = 20
"""Within which all that is not kept waiting ends, on a busy machine too."""

SPEC = QueueTargetSpec.model_validate(
    {
        "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
        "jobStore": {
            "mongodb": {"urlSecretRef": {"name": "mongo", "key": "url"}, "database": "app", "collection": "jobs"}
        },
        "queues": [{"name": "work", "workers": [{"name": "worker"}]}],
    }
)


@dataclass
class DNS:
    """Looks up no host below ZONE before it is told to."""

    answers: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    """The hosts below ZONE whose look-up has begun."""


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[DNS]:
    """The resolver of this process."""
    made, resolve = DNS(), socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as `socket` has it
        if not str(host).endswith(ZONE):
            return resolve(host, *rest, **more)
        made.asked.append(host)
        made.answers.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield made
    made.answers.set()


@pytest.fixture
async def threads(dns: DNS) -> AsyncIterator[Threads]:
    """The loop's default executor, as the operator has it."""
    loop = asyncio.get_running_loop()
    made = Threads(loop)
    loop.set_default_executor(made)
    yield made
    dns.answers.set()

    async def idle() -> bool:
        return not (made.look_ups._under_way or made.look_ups._waiting or made.look_ups._begun)

    await until(idle, "the look-ups to end", seconds=SECONDS)
    loop.set_default_executor(ThreadPoolExecutor())
    made.shutdown()


@asynccontextmanager
async def api_server() -> AsyncIterator[ApiClient]:
    """Yield a connection to a server that knows one group, by a name that has to be looked up."""

    async def group(_: web.Request) -> web.Response:
        return web.json_response({"name": "apps", "versions": []})

    app = web.Application()
    app.add_routes([web.get("/apis/apps/", group)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ApiClient(Configuration(host=f"http://localhost:{runner.addresses[0][1]}")) as api:
        yield api
    await runner.cleanup()


def environment(api: ApiClient, namespace: str, *, redis: str, mongo: str = "") -> KubernetesEnvironment:
    secrets = GivenSecrets(api, {"redis": {"url": redis}, "mongo": {"url": mongo}})
    return environment_of(api, namespace=namespace, secrets=secrets)


@asynccontextmanager
async def failing_checks(environment: KubernetesEnvironment) -> AsyncIterator[list[RecoveryError]]:
    """Check the servers as a target's monitor does, without a pause, and yield the failures."""
    failures: list[RecoveryError] = []
    broker, store = await environment.broker(SPEC), await environment.job_store(SPEC)

    async def of(check: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await check()
            except RecoveryError as error:
                failures.append(error)

    checks = asyncio.gather(of(broker.check), of(store.check))
    try:
        yield failures
    finally:
        checks.cancel()
        await asyncio.wait([checks])
        await broker.aclose()
        await store.aclose()


async def test_hosts_of_one_namespace_that_are_not_answered_for_delay_no_request_and_no_other_namespace(
    threads: Threads, dns: DNS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_RETRIES", 0)
    monkeypatch.setattr(connecting, "_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(connecting_stores, "TIMEOUTS", connecting_stores.Timeouts(find_server=500))
    hosts = ",".join(f"m{number}{ZONE}" for number in range(50))
    async with Scope.open() as scope, api_server() as api:
        server = await Server.start(scope)
        evil = environment(api, "evil", redis=f"redis://r{ZONE}/0", mongo=f"mongodb://{hosts}/")
        media = environment(api, "media", redis=f"redis://localhost:{server.port}/0")
        async with failing_checks(evil) as failures:

            async def failed_often() -> bool:
                return len(failures) > 5

            await until(failed_often, "the servers' checks to fail", seconds=SECONDS)
            async with asyncio.timeout(SECONDS):
                await AppsApi(api).get_api_group()
                async with open_session(api, Watches([])).aiohttp_session as session:
                    await session.get(f"{api.configuration.host}/apis/apps/")
                await Metrics().page()
                broker = await media.broker(SPEC)
                await broker.check()
                await broker.aclose()
            assert len(dns.asked) == threads.look_ups._begun == look_ups._MOST_OF_TENANT
        assert not threads.look_ups._waiting  # as nobody waits for them any more


def look_up(tenant: str, host: str) -> "asyncio.Task[Any]":
    """Look a host up for a tenant, as a driver does when it connects."""

    async def connect() -> object:
        with Destinations(tenant=tenant).guard(host):
            return await asyncio.get_running_loop().getaddrinfo(f"{host}{ZONE}", 6379, type=socket.SOCK_STREAM)

    return asyncio.ensure_future(connect())


async def begun(threads: Threads, dns: DNS, **counts: int) -> None:
    """Wait until as many look-ups are under way, by the first letter of the host, and make sure that no other is."""

    async def as_many() -> bool:
        return len(dns.asked) >= sum(counts.values())

    await until(as_many, "the look-ups to begin", seconds=SECONDS)
    assert threads.look_ups._begun == sum(counts.values())
    assert Counter(host[0] for host in dns.asked) == counts


async def waiting(threads: Threads, tenant: str) -> None:
    """Wait until a look-up of a tenant waits."""

    async def waits() -> bool:
        return tenant in threads.look_ups._waiting

    await until(waits, "a look-up to wait", seconds=SECONDS)


async def ended(*tasks: "asyncio.Task[Any]") -> list[BaseException | None]:
    """Return how each of them failed."""
    _, late = await asyncio.wait(tasks, timeout=SECONDS)
    assert not late
    return [None if task.cancelled() else task.exception() for task in tasks]


async def test_the_look_ups_of_a_namespace_begin_in_turn_and_equal_ones_are_made_once(
    threads: Threads, dns: DNS
) -> None:
    tasks = [look_up("media", f"a{number}") for number in range(7) for _ in range(2)]
    await begun(threads, dns, a=look_ups._MOST_OF_TENANT)
    dns.answers.set()
    errors = await ended(*tasks)

    assert sorted(dns.asked) == sorted(f"a{number}{ZONE}" for number in range(7))
    assert {type(error) for error in errors} == {socket.gaierror}
    assert len(set(map(id, errors))) == len(tasks)  # a driver adds a cause to its own


async def test_equal_look_ups_of_two_namespaces_are_made_for_each(threads: Threads, dns: DNS) -> None:
    tasks = [look_up(namespace, "a") for namespace in ("one", "two")]
    await begun(threads, dns, a=2)
    dns.answers.set()
    await ended(*tasks)


async def test_a_look_up_that_nobody_waits_for_keeps_its_thread_and_one_that_has_not_begun_is_forgotten(
    threads: Threads, dns: DNS
) -> None:
    tasks = [look_up("media", f"a{number}") for number in range(6)]
    await begun(threads, dns, a=4)
    for task in tasks:
        task.cancel()
    await ended(*tasks)
    assert not threads.look_ups._waiting
    again, other = look_up("media", "a0"), look_up("media", "a5")
    await waiting(threads, "media")
    await begun(threads, dns, a=4)
    dns.answers.set()
    await ended(again, other)

    assert Counter(dns.asked) == Counter(f"a{number}{ZONE}" for number in (0, 1, 2, 3, 5))


async def test_the_last_half_of_all_look_ups_is_for_namespaces_that_have_none(
    threads: Threads, dns: DNS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ups, "_MOST", 12)
    tasks = [look_up(f"crowd-{number}", f"c{number}{each}") for number in range(3) for each in range(4)]
    tasks += [look_up(f"other-{number}", f"o{number}") for number in range(6)]
    await begun(threads, dns, c=4 + 2 + 1, o=5)
    await waiting(threads, "other-5")
    dns.answers.set()
    await ended(*tasks)

    assert len(dns.asked) == len(tasks)


@pytest.mark.usefixtures("dns")
async def test_a_system_without_a_thread_left_fails_the_look_up(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        [error] = await ended(look_up("media", "a"))

    assert type(error) is OSError
    assert threads.look_ups._begun == 0


@pytest.mark.thorough
async def test_a_leader_renews_its_lease_while_hosts_are_looked_up_and_ends_when_it_is_told_to(
    replicas: Replicas,
) -> None:
    leader = await replicas.start("leader", program=[sys.executable, "-m", "tests.controller.unanswered"])
    await replicas.led_by(leader)
    for number in range(40):  # more than the default executor has threads
        await replicas.api.create(
            f"/api/v1/namespaces/{replicas.namespace}/secrets",
            {"metadata": {"name": f"redis-{number}"}, "stringData": {"url": f"redis://h{number}{ZONE}/0"}},
        )
        await replicas.api.create(
            f"/apis/queuerecovery.dev/v1alpha1/namespaces/{replicas.namespace}/queuetargets",
            {
                "apiVersion": "queuerecovery.dev/v1alpha1",
                "kind": "QueueTarget",
                "metadata": {"name": f"target-{number}"},
                "spec": {
                    "broker": {"urlSecretRef": {"name": f"redis-{number}", "key": "url"}},
                    "queues": [{"name": "work", "workers": [{"name": "worker"}]}],
                },
            },
        )

    async def looks_up() -> bool:
        return len(leader.log("is looked up")) >= look_ups._MOST_OF_TENANT

    await until(looks_up, "hosts to be looked up", of=leader.process)
    renewed = set()

    async def renewed_again_and_again() -> bool:
        renewed.add((await replicas.lease())["renewTime"])
        return len(renewed) > 4

    await until(renewed_again_and_again, "the lease to be renewed", of=leader.process, every=0.2)
    assert await leader.leads()
    assert len(leader.log("is looked up")) == look_ups._MOST_OF_TENANT
    assert await leader.process.stop(seconds=30) == 0
