"""No piece of a secret is in a status, an event, the log or the metrics, however the URL that holds it is written."""

import asyncio
import io
import logging
import re
import socket
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import product
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.servers import MongoDB, TransportOptions
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection import connecting
from queue_recovery.controller import logs
from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.recovery_events import events_between
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.target_monitor import TargetMonitor
from queue_recovery.jobs import connecting as connecting_stores
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import set_running
from tests.controller.environments import GivenSecrets, environment_of
from tests.controller.proposing import FakeWriter

MARK = "wqx"
"""In each word of a secret, and in no word of the operator's; searched for without regard to case."""

FAST = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

words = st.integers(0, 9999).map(lambda number: f"{MARK}{number}")
punctuation = st.sampled_from(
    [*"?&=;@/#:%[],+ .\\\n\t\x00\x7f", "%2", "%40", "%00", "://", "=1&", "?a=", "ssl_", ".sock"]
)
secrets = st.lists(st.one_of(words, words, punctuation), min_size=1, max_size=7).map("".join)
"""A password that is not percent-encoded: words, and what else is on a keyboard."""

names = st.one_of(
    secrets,
    st.sampled_from(
        [
            *("ssl_cert_reqs", "ssl_ca_certs", "ssl_check_hostname", "db", "timeout", "protocol", "password"),
            *("authSource", "authMechanism", "tls", "tlsCAFile", "tlsInsecure", "compressors", "replicaSet", "w"),
            *("readPreference", "readPreferenceTags", "maxPoolSize", "authMechanismProperties", "srvMaxHosts", "ssl"),
        ]
    ),
)
options = st.lists(st.tuples(names, secrets), max_size=3).map(
    lambda pairs: "".join(f"{'&' if number else '?'}{name}={value}" for number, (name, value) in enumerate(pairs))
)


def twelve_urls(schemes: list[str]) -> st.SearchStrategy[list[str]]:
    """Return URLs of which any part may be a secret, whole ones and broken ones."""
    hosts = st.sampled_from(["redis", "db.example:6379", "a,b", "[::1]:1", ""])
    paths = st.sampled_from(["", "/", "/0", "/app"])
    return st.builds(_urls, st.sampled_from(schemes), secrets, secrets, hosts, paths, options)


def _urls(scheme: str, one: str, other: str, host: str, path: str, option: str) -> list[str]:
    logins = ("", f":{one}@", f"{one}:{other}@")
    return ["".join((scheme, *parts, option)) for parts in product(logins, (host, other), (path, f"/{one}"))]


broker_urls = twelve_urls(["redis://", "rediss://", "sentinel://", "unix://", ""])
store_urls = twelve_urls(["mongodb://", "mongodb+srv://", "redis://", ""])
SPEC = MongoDB.model_validate(
    {"urlSecretRef": {"name": "mongo", "key": "url"}, "database": "app", "collection": "jobs"}
)

TARGET = {
    "metadata": {"namespace": "media", "name": "media", "uid": "1", "generation": 1},
    "spec": {
        "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
        "jobStore": {"mongodb": SPEC.model_dump(by_alias=True)},
        "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
        "diagnosis": {"results": {"urlSecretRef": {"name": "results", "key": "url"}}},
    },
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the operator writes at DEBUG; no name is looked up, and nothing is waited for."""

    def no_such_host(host: object, *_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, f"no such host: {host!r}")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    monkeypatch.setattr("dns.asyncresolver.resolve", no_such_host)
    # Reading the system's authorities takes longer than all the rest, and no connection gets as far as certificates.
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    monkeypatch.setattr(connecting, "_RETRIES", 0)
    monkeypatch.setattr(connecting_stores, "TIMEOUTS", connecting_stores.Timeouts(find_server=1))
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    root.handlers = []
    monkeypatch.setattr("sys.stderr", written)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("console", "DEBUG")
        yield written
    root.handlers = handlers
    root.setLevel(level)
    for name in (*logs._LIBRARIES, "queue_recovery"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def every_host_resolves(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The same where DNS has an address for any host, at which nothing listens; a port keeps what the URL says."""

    def resolve(host: object, port: object, *_: object, **__: object) -> list[object]:
        del host, port
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(connecting_stores, "TIMEOUTS", connecting_stores.Timeouts(find_server=30))
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.01)  # the driver looks for a server at this pace
    return written


async def shown(attempt: Callable[[], Awaitable[object]]) -> list[str]:
    """Return what status and events show of an attempt, which may fail for reasons that are named and for no others."""
    error = None
    try:
        await attempt()
    except RecoveryError as raised:
        error = raised
    if error is None:
        return []
    assert error.reason in set(Reason)
    assert error.__suppress_context__ or error.__context__ is None
    logging.getLogger("queue_recovery.test").info("%s", error.message)
    status = set_running(
        QueueRecoveryStatus(), error.reason, error.message, now=datetime(2026, 5, 1, tzinfo=UTC), generation=1
    )
    notes = [event.note for event in events_between(QueueRecoveryStatus(), status)]
    return [str(error), status.model_dump_json(), *notes]


async def tried(urls: list[str], look: Callable[[str], Awaitable[None]], written: io.StringIO) -> None:
    """Search what is shown of an attempt with each of these URLs."""
    for url in urls:
        searched(await shown(partial(look, url.strip())), written)


def searched(texts: list[str], written: io.StringIO) -> None:
    found = [text for text in [*texts, written.getvalue()] if MARK in text.lower()]
    assert not found
    written.seek(0)
    written.truncate()


@pytest.mark.thorough
@pytest.mark.timeout(900)
@given(urls=broker_urls)
@example(urls=[f"redis://:9137?{MARK}=zz@redis"])
@example(urls=[f"redis://:9137?{MARK}=zz"])
@settings(FAST, max_examples=150)
async def test_of_a_brokers_url_no_piece_is_shown(written: io.StringIO, urls: list[str]) -> None:
    async def look(url: str) -> None:
        broker = RedisBroker.connect(url, TransportOptions(master_name="media"))
        try:
            await broker.check()
        finally:
            await broker.aclose()

    await tried(urls, look, written)


@pytest.mark.timeout(900)
@given(urls=store_urls)
@example(urls=[f"mongodb://bob:9137?{MARK}file=zz@db"])
@example(urls=[f"mongodb://bob:pass@db/?{MARK}file=zz"])
@settings(FAST, max_examples=150)
async def test_of_a_job_stores_url_no_piece_is_shown(written: io.StringIO, urls: list[str]) -> None:
    async def look(url: str) -> None:
        await connecting_stores.connect(url, SPEC).aclose()

    await tried(urls, look, written)


@pytest.mark.timeout(900)
@given(broker=broker_urls.flatmap(st.sampled_from), job_store=store_urls.flatmap(st.sampled_from))
@example(broker=f"redis://:9137?{MARK}=zz@redis", job_store=f"mongodb://bob:9137?{MARK}file=zz@db")
@settings(FAST, max_examples=60)
async def test_of_a_targets_secrets_no_piece_is_in_the_status_in_the_log_or_in_the_metrics(
    written: io.StringIO, broker: str, job_store: str
) -> None:
    statuses: list[str] = []
    written_once = asyncio.Event()

    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as api:
        secrets = GivenSecrets(api, {"redis": {"url": broker}, "results": {"url": broker}, "mongo": {"url": job_store}})
        environment = environment_of(api, secrets=secrets)
        metrics = Metrics(with_names=True)

        async def store(_: Mapping[str, Any], status: QueueTargetStatus) -> bool:
            statuses.append(status.model_dump_json(by_alias=True))
            written_once.set()
            return True

        monitor = TargetMonitor(
            Settings(target_refresh_seconds=3600),
            metrics,
            environment=lambda _: environment,
            store=store,
            announce=lambda *_: None,
            writer=FakeWriter(),
            outlines=lambda _: [],
        )
        monitor.receive(TARGET, gone=False)
        async with asyncio.timeout(60):
            await written_once.wait()
        await monitor.aclose()

    assert "BrokerReachable" in statuses[0]
    assert "EvidenceReadable" in statuses[0]
    searched([*statuses, (await metrics.page()).decode()], written)


TIME = re.compile(r"^\S*\d\d:\d\d:\d\d\S*", re.MULTILINE)
HOST = "db.media.svc"
passwords = st.text(st.sampled_from("wqxz98?&=;@/#:%[],+ .\\'\"$!~_-\u00e9\uff20"), min_size=4, max_size=16).map(
    str.strip
)
"""What may be in a password that nobody has percent-encoded; no message of the operator has four such characters."""

broker_templates = st.sampled_from(
    [
        "redis://:{}@HOST:6379/0",
        "redis://user:{}@HOST",
        "rediss://{}@HOST/1",
        "redis://{}:x@HOST:6379/0?socket_timeout=3",
        "sentinel://:{}@HOST:26379;sentinel://HOST:26379",
        "sentinel://user:{}@HOST;sentinel://:{}@HOST",
    ]
)
store_templates = st.sampled_from(
    [
        "mongodb://bob:{}@HOST/app",
        "mongodb://{}:x@HOST,two.HOST:27018/?replicaSet=rs0",
        "mongodb://{}@HOST:27017",
        "mongodb+srv://bob:{}@HOST/",
    ]
)


def pieces(password: str) -> set[str]:
    """Return each run of four characters that has a letter or a digit; others are in any URL that a message shows."""
    runs = {password[first : first + 4] for first in range(len(password) - 3)}
    return {run for run in runs if set("wqxz98") & set(run)}


def search_for(password: str, texts: list[str], written: io.StringIO) -> None:
    log = TIME.sub("", written.getvalue())
    assert not [(run, text) for run in pieces(password) for text in [*texts, log] if run in text]
    written.seek(0)
    written.truncate()


@pytest.mark.timeout(900)
@given(template=broker_templates, password=passwords)
@example(template="redis://user:{}@HOST", password="9898/wqxz")
@example(template="rediss://{}@HOST/1", password="wqxz9?protocol=8")
@example(template="redis://user:{}@HOST", password="9898;sentinel://wqxz")
@example(template="sentinel://user:{}@HOST;sentinel://:{}@HOST", password="9898;sentinel://wqxz")
@example(template="sentinel://user:{}@HOST;sentinel://:{}@HOST", password="@wqxz:9898;sentinel://wqxz")
@settings(FAST, max_examples=150)
async def test_where_every_host_resolves_no_four_characters_of_a_brokers_password_are_shown(
    every_host_resolves: io.StringIO, template: str, password: str
) -> None:
    async def look() -> None:
        broker = RedisBroker.connect(url, TransportOptions(master_name="media"))
        try:
            await broker.check()
        finally:
            await broker.aclose()

    url = template.replace("{}", password).replace("HOST", HOST)
    search_for(password, await shown(look), every_host_resolves)


@pytest.mark.timeout(900)
@given(template=store_templates, password=passwords)
@example(template="mongodb://bob:{}@HOST/app", password="9898,wqxz:9898")
@example(template="mongodb://bob:{}@HOST/app", password="9898/wqxz")
@example(template="mongodb://{}@HOST:27017", password="wqxz9/x")
@settings(FAST, max_examples=100)
async def test_where_every_host_resolves_no_four_characters_of_a_job_stores_password_are_shown(
    every_host_resolves: io.StringIO, template: str, password: str
) -> None:
    async def look() -> None:
        store = connecting_stores.connect(url, SPEC)
        try:
            await store.check()
        finally:
            await store.aclose()

    url = template.replace("{}", password).replace("HOST", HOST)
    search_for(password, await shown(look), every_host_resolves)
