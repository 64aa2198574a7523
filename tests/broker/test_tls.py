"""TLS to a server that shows a certificate, and asks for one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from queue_recovery.api.servers import SentinelKwargs, TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import BrokerHealth
from sandbox.broker import Broker as Server
from sandbox.certificates import Authority, KeyPair
from sandbox.processes import Scope, free_port, until
from tests.redis_server import IS_HERE, REASON

HEALTHY = BrokerHealth(eviction_policy="noeviction")


@dataclass(frozen=True)
class Secured:
    """A server that speaks TLS, and the authority that it trusts and is trusted by."""

    url: str
    authority: Authority

    def certificates(self, client: KeyPair | None = None) -> Certificates:
        """Return what a target's Secrets would hold."""
        return Certificates(authorities=self.authority.path.read_text(), client=pem(client) if client else None)


def pem(pair: KeyPair) -> str:
    return f"{pair.certificate.read_text()}\n{pair.key.read_text()}"


def open_files() -> list[str]:
    """Return what this process has open."""
    return [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]


async def start(scope: Scope, folder: Path, *options: str, expired: bool = False) -> Secured:
    if not IS_HERE:
        pytest.skip(REASON)
    authority = Authority.create(folder)
    pair = authority.issue("redis", expired=expired)
    files = [f"--tls-{kind}-file" for kind in ("cert", "key", "ca-cert")]
    paths = [str(path) for path in (pair.certificate, pair.key, authority.path)]
    tls = [word for both in zip(files, paths, strict=True) for word in both]
    port = free_port()
    await Server.start(scope, flavour="redis", options=["--tls-port", str(port), *tls, *options])
    return Secured(f"rediss://127.0.0.1:{port}/0", authority)


@pytest.fixture(scope="module", params=["TLSv1.2", "TLSv1.3"])
async def strict(request: pytest.FixtureRequest, servers: Scope) -> Secured:
    """A server that asks for a client's certificate."""
    return await start(servers, servers.folder / f"ca-{request.param}", "--tls-protocols", request.param)


@pytest.fixture
async def brokers() -> AsyncIterator[Callable[[str, Certificates | None], RedisBroker]]:
    """Make brokers that are closed afterwards."""
    made = []

    def make(url: str, certificates: Certificates | None) -> RedisBroker:
        made.append(RedisBroker.connect(url, TransportOptions(), certificates=certificates))
        return made[-1]

    yield make
    for broker in made:
        await broker.aclose()


async def refusal(url: str, certificates: Certificates | None) -> RecoveryError:
    """Return what checking a broker raises; it shows nothing of a certificate."""
    broker = RedisBroker.connect(url, TransportOptions(), certificates=certificates)
    try:
        with pytest.raises(RecoveryError) as refused:
            await broker.check()
    finally:
        await broker.aclose()
    assert "127.0.0.1" not in str(refused.value)
    assert "BEGIN" not in repr(certificates) + str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    return refused.value


async def told(url: str, certificates: Certificates, says: str) -> None:
    """Wait until it is told so: TLS 1.3 may lose the server's word, but then it is told of certificates too."""

    async def now() -> bool:
        error = await refusal(url, certificates)
        assert (type(error), error.reason) == (RecoveryError, "BrokerCertificateRefused")
        assert "clientCertificateSecretRef" in error.message
        return says in error.message

    await until(now, f"an error that says: {says}")


async def test_a_client_certificate_and_an_own_authority_are_enough(
    strict: Secured, brokers: Callable[[str, Certificates], RedisBroker]
) -> None:
    broker = brokers(strict.url, strict.certificates(strict.authority.issue("operator")))

    assert await broker.check() == HEALTHY


async def test_the_key_of_a_client_is_in_no_file(
    strict: Secured, brokers: Callable[[str, Certificates], RedisBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = strict.authority.issue("operator")
    certificates = strict.certificates(pair)
    pair.key.unlink()
    monkeypatch.setenv("TMPDIR", "/nowhere")

    broker = brokers(strict.url, certificates)

    assert await broker.check() == HEALTHY
    assert not [name for name in await asyncio.to_thread(open_files) if "client-certificate" in name]


async def test_a_server_that_asks_for_a_certificate_and_gets_none_says_so(strict: Secured) -> None:
    await told(strict.url, strict.certificates(), "requires a client certificate")


async def test_a_client_certificate_that_has_expired_is_told_from_one_that_is_missing(strict: Secured) -> None:
    late = strict.authority.issue("late", expired=True)

    await told(strict.url, strict.certificates(late), "operator's client certificate has expired")


async def test_a_client_certificate_of_another_authority_is_refused(strict: Secured, tmp_path: Path) -> None:
    foreign = Authority.create(tmp_path / "ca").issue("operator")

    await told(strict.url, strict.certificates(foreign), "does not trust")


@pytest.mark.parametrize("own", [False, True])
async def test_a_server_whose_authority_nobody_trusts_is_refused(strict: Secured, tmp_path: Path, own: bool) -> None:  # noqa: FBT001 - pytest names it
    other = Authority.create(tmp_path / "ca").path.read_text() if own else None

    error = await refusal(strict.url, Certificates(authorities=other))

    assert (type(error), error.reason) == (RecoveryError, "BrokerCertificateRefused")
    assert "caSecretRef" in error.message


async def test_a_server_whose_certificate_has_expired_is_named_so(scope: Scope) -> None:
    secured = await start(scope, scope.folder / "ca", "--tls-auth-clients", "no", expired=True)

    error = await refusal(secured.url, secured.certificates())

    assert error.reason == "BrokerCertificateRefused"
    assert "broker's certificate has expired" in error.message


async def test_a_certificate_of_another_host_is_named_so_unless_the_url_says_that_it_does_not_matter(
    strict: Secured, brokers: Callable[[str, Certificates], RedisBroker]
) -> None:
    certificates = strict.certificates(strict.authority.issue("operator"))
    url = strict.url.replace("127.0.0.1", "127.1")

    with pytest.raises(RecoveryError, match="another host") as refused:
        await brokers(url, certificates).check()

    assert refused.value.reason == "BrokerCertificateRefused"
    assert await brokers(f"{url}?ssl_check_hostname=false", certificates).check() == HEALTHY


async def test_a_url_may_say_that_no_certificate_is_checked(
    strict: Secured, brokers: Callable[[str, Certificates], RedisBroker]
) -> None:
    client = Certificates(client=pem(strict.authority.issue("operator")))

    assert await brokers(f"{strict.url}?ssl_cert_reqs=CERT_NONE", client).check() == HEALTHY


def test_what_is_no_certificate_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    one, other = authority.issue("one"), authority.issue("other")
    key = load_pem_private_key(one.key.read_bytes(), password=None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")).decode()
    unusable = [
        Certificates(authorities="hunter2"),
        Certificates(authorities=one.key.read_text()),
        Certificates(client="hunter2"),
        Certificates(client=one.certificate.read_text()),
        Certificates(client=one.certificate.read_text() + other.key.read_text()),
        Certificates(client=one.certificate.read_text() + locked),
        Certificates(authorities="\u00e4"),
        Certificates(client="\u00e4"),
    ]

    for certificates in unusable:
        with pytest.raises(RecoveryError) as refused:
            RedisBroker.connect("rediss://redis/0", TransportOptions(), certificates=certificates)
        assert refused.value.reason == "InvalidCertificate"
        assert "hunter2" not in str(refused.value)


def test_an_authority_and_a_url_that_checks_no_certificate_contradict_each_other(tmp_path: Path) -> None:
    authorities = Authority.create(tmp_path / "ca").path.read_text()

    for url in ("rediss://redis/0?ssl_cert_reqs=none", "sentinel://one/0?ssl_cert_reqs=CERT_NONE"):
        with pytest.raises(RecoveryError, match="caSecretRef") as refused:
            RedisBroker.connect(
                url, TransportOptions(master_name="media"), certificates=Certificates(authorities=authorities)
            )
        assert refused.value.reason == "InvalidBrokerURL"


@pytest.mark.parametrize(
    ("url", "tls", "sentinels_tls", "says"),
    [
        ("redis://redis/0", False, False, "without TLS"),
        ("rediss://redis/0", False, False, None),
        ("rediss://redis/0?ssl_cert_reqs=none", False, False, "ssl_cert_reqs=none"),
        ("rediss://redis/0?ssl_cert_reqs=none", True, False, "ssl_cert_reqs=none"),
        ("rediss://redis/0?ssl_check_hostname=false", True, False, "ssl_check_hostname=false"),
        ("sentinel://one/0", False, False, "without TLS"),
        ("sentinel://one/0", True, False, "Sentinels"),
        ("sentinel://one/0", True, True, None),
    ],
)
async def test_a_broker_says_what_of_its_transport_is_not_verified(
    url: str,
    tls: bool,  # noqa: FBT001
    sentinels_tls: bool,  # noqa: FBT001
    says: str | None,
) -> None:
    options = TransportOptions(master_name="media", sentinel_kwargs=SentinelKwargs(ssl=sentinels_tls))
    broker = RedisBroker.connect(url, options, certificates=Certificates() if tls else None)
    await broker.aclose()

    assert (broker.unverified is None) == (says is None)
    assert (says or "") in (broker.unverified or "")


def test_certificates_for_a_url_without_tls_are_refused() -> None:
    with pytest.raises(RecoveryError, match="rediss://") as refused:
        RedisBroker.connect("redis://redis/0", TransportOptions(), certificates=Certificates())

    assert refused.value.reason == "InvalidBrokerURL"
