"""What Sentinels may be, say and refuse."""

import pytest

from queue_recovery.api.reasons import Outcome
from queue_recovery.api.servers import SentinelKwargs, TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection import connecting
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import BrokerHealth
from sandbox.broker import Flavour
from sandbox.certificates import Authority
from sandbox.processes import LOOPBACK, Scope, free_port, until
from sandbox.sentinels import NAME, Watched, ask
from tests.broker.application import recovery, tasks
from tests.redis_server import EACH_KIND, needs_redis

OPTIONS = TransportOptions(master_name=NAME)
HEALTHY = BrokerHealth(eviction_policy="noeviction")
PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(connecting, "_ANSWER_SECONDS", 0.5)


@pytest.fixture(scope="module", params=EACH_KIND)
async def watched(request: pytest.FixtureRequest, servers: Scope) -> Watched:
    """Servers and Sentinels of each kind."""
    flavour: Flavour = request.param
    return await Watched.start(servers, flavour=flavour)


async def checked(
    url: str,
    options: TransportOptions = OPTIONS,
    certificates: Certificates | None = None,
    password: str | None = None,
) -> BrokerHealth:
    broker = RedisBroker.connect(url, options, certificates=certificates, sentinel_password=password)
    try:
        return await broker.check()
    finally:
        await broker.aclose()


async def refusal(
    url: str, options: TransportOptions = OPTIONS, password: str | None = None, shows: str = ""
) -> RecoveryError:
    """Return what checking raises; it names no password, and no address but the one that it `shows`."""
    with pytest.raises(RecoveryError) as refused:
        await checked(url, options, password=password)
    assert shows in str(refused.value)
    assert LOOPBACK not in str(refused.value).replace(shows, "")
    assert PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value


async def test_a_sentinel_that_is_away_is_passed_over(watched: Watched) -> None:
    assert await checked(f"sentinel://{LOOPBACK}:{free_port()};{watched.url}") == HEALTHY


async def test_a_name_that_the_sentinels_do_not_know_and_one_that_is_missing_are_told(watched: Watched) -> None:
    for name in ("nobody", ""):
        error = await refusal(watched.url, TransportOptions(master_name=name))

        assert (type(error), error.reason) == (RecoveryError, "PrimaryNotFound")
        assert "masterName" in error.message


async def test_sentinels_that_are_all_away() -> None:
    port = free_port()

    error = await refusal(f"sentinel://{LOOPBACK}:{port}", shows=f"{LOOPBACK}:{port}")

    assert (type(error), error.reason) == (RecoveryError, "BrokerUnavailable")


async def test_a_server_that_is_no_sentinel_is_asked_in_vain(watched: Watched) -> None:
    error = await refusal(f"sentinel://{LOOPBACK}:{watched.primary.port}")

    assert error.outcome is Outcome.UNAVAILABLE


async def test_a_replica_is_no_primary_even_if_a_sentinel_says_so(scope: Scope) -> None:
    watched = await Watched.start(scope)
    await ask(watched.primary, "REPLICAOF", LOOPBACK, free_port())

    error = await refusal(watched.url)

    assert (type(error), error.reason) == (RecoveryError, "PrimaryNotFound")
    assert "replica" in error.message


async def test_a_user_who_may_not_ask_for_the_role_is_told_the_command(watched: Watched) -> None:
    rules = ("reset", "on", f">{PASSWORD}", "+@all", "-role", "~*")
    await ask(watched.primary, "ACL", "SETUSER", "operator", *rules)

    error = await refusal(watched.url.replace("://", f"://operator:{PASSWORD}@"))

    assert (error.reason, "ROLE" in error.message) == ("BrokerPermissionDenied", True)


async def test_sentinels_and_servers_have_passwords_of_their_own(scope: Scope) -> None:
    watched = await Watched.start(scope)
    for server in (watched.primary, watched.replica):
        await ask(server, "CONFIG", "SET", "masterauth", "servers")
        await ask(server, "CONFIG", "SET", "requirepass", "servers")
    rules = ("on", f">{PASSWORD}", "+@all", "-@dangerous", "+sentinel", "~*", "&*")
    (sentinel,) = watched.sentinels
    await ask(sentinel, "ACL", "SETUSER", "operator", *rules)
    await ask(sentinel, "ACL", "SETUSER", "default", "off")
    url = watched.url.replace("://", "://:servers@")
    options = TransportOptions(master_name=NAME, sentinel_kwargs=SentinelKwargs(username="operator"))

    assert await checked(url, options, password=PASSWORD) == HEALTHY
    for refused in (await refusal(url), await refusal(url, options, password="wrong")):
        assert refused.reason == "BrokerAuthenticationFailed"
        assert "sentinelKwargs" in refused.message
    without = await refusal(watched.url, options, password=PASSWORD)
    assert without.reason == "BrokerAuthenticationFailed"
    assert "Sentinel" not in without.message


@needs_redis
async def test_servers_and_sentinels_speak_tls_where_the_target_says_so(scope: Scope) -> None:
    authority = Authority.create(scope.folder / "ca")
    pair, mine = authority.issue("redis"), authority.issue("operator")
    files = ("--tls-cert-file", pair.certificate, "--tls-key-file", pair.key, "--tls-ca-cert-file", authority.path)
    port, sentinel_port = free_port(), free_port()
    tls = [str(word) for word in files]
    watched = await Watched.start(scope, flavour="redis", sentinel_options=["--tls-port", str(sentinel_port), *tls])
    for option, value in zip(files[::2], files[1::2], strict=True):
        await ask(watched.primary, "CONFIG", "SET", str(option).removeprefix("--"), str(value))
    await ask(watched.primary, "CONFIG", "SET", "tls-port", port)
    # The Sentinel tells the port that it watches, so that has to be the one which speaks TLS; this one never connects.
    (sentinel,) = watched.sentinels
    await ask(sentinel, "SENTINEL", "REMOVE", NAME)
    await ask(sentinel, "SENTINEL", "MONITOR", NAME, LOOPBACK, port, 1)
    client = f"{mine.certificate.read_text()}\n{mine.key.read_text()}"
    certificates = Certificates(authorities=authority.path.read_text(), client=client)
    both = TransportOptions(master_name=NAME, sentinel_kwargs=SentinelKwargs(ssl=True))

    assert await checked(f"sentinel://{LOOPBACK}:{sentinel_port}", both, certificates) == HEALTHY
    assert await checked(watched.url, OPTIONS, certificates) == HEALTHY
    assert (await refusal(watched.url, OPTIONS)).reason == "BrokerUnavailable"


async def test_a_primary_that_is_killed_is_waited_for_until_the_sentinels_have_another(scope: Scope) -> None:
    watched = await Watched.start(scope)
    run = recovery("tts")
    broker = RedisBroker.connect(watched.url, OPTIONS)
    await broker.run(run).open()
    await broker.run(run).pass_boundary()
    await watched.replicated()
    told = set()

    async def pushed() -> bool:
        try:
            await broker.run(run).push({run.queue: tasks(3)})
        except RecoveryError as error:
            if error.outcome is not Outcome.UNAVAILABLE:
                raise
            told.add(error.reason)
            return False
        return True

    await watched.primary.kill()
    await until(pushed, "the jobs to be pushed to the new primary")
    await watched.failed_over()

    assert told
    assert told <= {"BrokerUnavailable", "PrimaryNotFound"}
    assert await ask(watched.primary, "LLEN", "tts") == 3
    await broker.aclose()
