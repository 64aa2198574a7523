"""How the operator learns where the API server is, and by which token."""

import json
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import incluster_config, kube_config

from queue_recovery.controller import api_server
from queue_recovery.controller.api_server import NoApiServer, connect
from queue_recovery.controller.kopf_session import open_session
from queue_recovery.controller.watches import Watches
from sandbox.certificates import Authority

SERVER = {"server": "https://127.0.0.1:1"}


def kubeconfig(*, cluster: object = None, user: object = None, context: object = None) -> str:
    """Return a kubeconfig whose token is SECRET."""
    return yaml.safe_dump(
        {
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "here", "user": user or {"token": "SECRET"}}],
            "contexts": [{"name": "here", "context": context or {"cluster": "here", "user": "here"}}],
        }
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kubeconfig is looked for."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    return tmp_path / "kubeconfig"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a pod's ServiceAccount, with its token and the authority."""
    (tmp_path / "token").write_text("first")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    authority = Authority.create(tmp_path / "authority")
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority.path))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    return tmp_path


async def token(api: ApiClient) -> str | None:
    """Return what it sends as its authorization."""
    sent: str | None = await api.configuration.get_api_key_with_prefix("BearerToken")
    return sent


def write(path: Path, content: str) -> None:
    """Write a file, in a function that is not asynchronous."""
    path.write_text(content)


@pytest.mark.parametrize(
    ("host", "server"),
    [("10.96.0.1", "https://10.96.0.1:6443"), ("fd00:10:96::1", "https://[fd00:10:96::1]:6443")],
)
@pytest.mark.usefixtures("account")
async def test_a_pod_finds_it_by_its_environment_for_both_connections(
    monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    async with await connect() as api:
        assert api.configuration.host == server
        login = open_session(api, Watches([]))
        async with login.aiohttp_session:
            assert login.server == server


async def test_a_pods_token_is_read_again_when_it_is_old(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    async with await connect() as api:
        write(account / "token", "second")
        assert await token(api) == "bearer first"
    monkeypatch.setattr(api_server, "_POD_TOKEN_SECONDS", 0.0)
    write(account / "token", "first")
    async with await connect() as api:
        write(account / "token", "second")
        assert await token(api) == "bearer second"
        (account / "token").unlink()
        assert await token(api) == "bearer second"


async def test_a_kubeconfigs_token_is_read_again_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_server, "_KUBECONFIG_SECONDS", 0.0)
    write(path, kubeconfig(cluster=SERVER, user={"token": "first"}))
    async with await connect() as api:
        write(path, kubeconfig(cluster=SERVER, user={"token": "second"}))
        assert await token(api) == "Bearer second"
        write(path, "half of a")
        assert await token(api) == "Bearer second"


async def test_a_pod_without_a_token_is_told_what_to_set(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    (account / "token").unlink()
    with pytest.raises(NoApiServer, match="automountServiceAccountToken: true"):
        await connect()


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "nonsense",
        "- a list",
        "{",
        "clusters: [SECRET]",
        json.dumps({"current-context": "here", "users": [{"token": "SECRET"}]}),
        kubeconfig(cluster=SERVER, context={"cluster": "SECRET"}),
        kubeconfig(cluster={}),
        kubeconfig(cluster={"server": "SECRET"}),
        kubeconfig(cluster={**SERVER, "certificate-authority": "/nonexistent"}),
        kubeconfig(cluster={**SERVER, "certificate-authority-data": "SECRET"}),
        kubeconfig(cluster={**SERVER, "certificate-authority-data": "U0VDUkVU"}),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named_in_one_line_without_its_content(
    path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if content is not None:
        write(path, content)
    with pytest.raises(NoApiServer) as refused:
        await connect()
    message = str(refused.value)
    assert str(path) in message
    assert "SECRET" not in message
    assert len(message.splitlines()) == 1
    assert caplog.messages == []
