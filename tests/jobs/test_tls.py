"""TLS to a job store that has a certificate and requires one of its clients."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from queue_recovery.jobs import connecting
from queue_recovery.jobs.connecting import connect
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.errors import RecoveryError
from sandbox.certificates import Authority, KeyPair
from sandbox.job_store import JobStore as Server
from sandbox.processes import Scope
from tests.jobs.stores import connected, spec


@dataclass(frozen=True)
class Secured:
    """A server that speaks TLS and requires a client certificate, and the authority of both certificates."""

    port: int
    authority: Authority

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def certificates(self, client: KeyPair | None = None) -> Certificates:
        """Return the certificates of a target's Secrets."""
        return Certificates(authorities=self.authority.path.read_text(), client=pem(client) if client else None)


def pem(pair: KeyPair) -> str:
    return f"{pair.certificate.read_text()}\n{pair.key.read_text()}"


@pytest.fixture(autouse=True)
def _short_looks_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is refused is looked for until the time is over, which shows nothing more."""
    monkeypatch.setattr(connecting, "TIMEOUTS", connecting.Timeouts(find_server=1_500))


@pytest.fixture
async def strict() -> AsyncIterator[Secured]:
    """Start a server for one test.

    It handles one TLS handshake at a time, and waits for a client that has given up.
    """
    async with Scope.open() as scope:
        authority = Authority.create(scope.folder / "ca")
        pair = authority.issue("mongo")
        options = {"cert-file": pair.certificate, "key-file": pair.key, "ca-file": authority.path}
        words = [f"--tls-{name}={path}" for name, path in options.items()]
        server = await Server.start(scope, options=[*words, "--tls-require-client-cert"])
        yield Secured(server.port, authority)


def open_files() -> list[str]:
    """Return the files that this process has open."""
    return [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]


async def check(url: str, certificates: Certificates | None) -> str | None:
    """Connect, and return how the operator speaks to a server that it cannot verify."""
    async with connected(url, certificates=certificates) as store:
        await store.check()
        return store.unverified


async def refusal(url: str, certificates: Certificates | None) -> RecoveryError:
    with pytest.raises(RecoveryError) as error:
        await check(url, certificates)
    assert "BEGIN" not in repr(certificates) + str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return error.value


async def test_a_client_certificate_and_a_private_authority_are_enough(strict: Secured) -> None:
    pair = strict.authority.issue("operator")
    certificates = strict.certificates(pair)
    pair.key.unlink()

    assert await check(strict.url, certificates) is None
    assert not [name for name in open_files() if "memfd:certificate" in name]


async def test_a_server_that_requires_a_certificate_and_gets_none_is_reported(strict: Secured) -> None:
    error = await refusal(strict.url, strict.certificates())

    assert error.reason == "JobStoreCertificateRefused"
    assert "jobStore.mongodb.tls" in error.message


@pytest.mark.parametrize("private", [False, True])
async def test_a_server_whose_authority_is_not_trusted_is_refused(
    strict: Secured, tmp_path: Path, *, private: bool
) -> None:
    other = Authority.create(tmp_path / "ca").path.read_text() if private else None
    client = pem(strict.authority.issue("operator"))

    error = await refusal(strict.url, Certificates(authorities=other, client=client))

    assert error.reason == "JobStoreCertificateRefused"


async def test_a_certificate_of_another_host_is_refused(strict: Secured) -> None:
    certificates = strict.certificates(strict.authority.issue("operator"))

    error = await refusal(strict.url.replace("127.0.0.1", "127.1"), certificates)

    assert error.reason == "JobStoreCertificateRefused"


async def test_a_url_may_turn_off_the_check_of_the_host_which_is_reported(strict: Secured) -> None:
    certificates = strict.certificates(strict.authority.issue("operator"))
    url = f"{strict.url.replace('127.0.0.1', '127.1')}?tlsAllowInvalidHostnames=true&directConnection=true"

    assert "host" in str(await check(url, certificates))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("tls=false", "turns TLS off"),
        ("ssl=false", "turns TLS off"),
        ("tlsInsecure=true", "caSecretRef"),
        ("tls=true&tlsAllowInvalidCertificates=true", "caSecretRef"),
        ("TLSALLOWINVALIDCERTIFICATES=true", "caSecretRef"),
    ],
)
async def test_an_authority_and_a_url_that_checks_no_certificate_contradict_each_other(
    tmp_path: Path, options: str, says: str
) -> None:
    certificates = Certificates(authorities=Authority.create(tmp_path / "ca").path.read_text())

    error = await refusal(f"mongodb://db.example/?{options}", certificates)

    assert error.reason == "InvalidJobStoreURL"
    assert says in error.message


@pytest.mark.parametrize(
    ("url", "tls", "says"),
    [
        ("mongodb://db.example/", False, "without TLS"),
        ("mongodb://db.example/?ssl=true", False, None),
        ("mongodb://db.example/?tls=true", False, None),
        ("mongodb://db.example/?tlsAllowInvalidHostnames=false", False, None),
        ("mongodb://db.example/", True, None),
        ("mongodb://db.example/?tls=true&tlsInsecure=true", False, "its certificate"),
        ("mongodb://db.example/?tls=true&tlsAllowInvalidCertificates=true", False, "its certificate"),
        ("mongodb://db.example/?tls=true&tlsAllowInvalidHostnames=true", True, "the host"),
        ("mongodb+srv://db.example/", False, None),
        ("mongodb+srv://db.example/?tls=false", False, "without TLS"),
    ],
)
async def test_a_job_store_reports_what_of_its_transport_is_not_verified(
    url: str,
    tls: bool,  # noqa: FBT001
    says: str | None,
) -> None:
    async with connected(url, certificates=Certificates() if tls else None) as store:
        assert (store.unverified is None) == (says is None)
        assert (says or "") in (store.unverified or "")


def test_an_invalid_certificate_is_refused_before_any_connection(tmp_path: Path) -> None:
    one = Authority.create(tmp_path / "ca").issue("one")
    unusable = [
        Certificates(authorities="hunter2"),
        Certificates(client="hunter2"),
        Certificates(client=one.certificate.read_text()),
        Certificates(client="\u00e4"),
    ]

    for certificates in unusable:
        with pytest.raises(RecoveryError) as refused:
            connect("mongodb://db.example/", spec("app", "jobs"), certificates=certificates)
        assert refused.value.reason == "InvalidCertificate"
        assert "jobStore.mongodb.tls" in refused.value.message
        assert "hunter2" not in str(refused.value)
    assert not [name for name in open_files() if "memfd:certificate" in name]
