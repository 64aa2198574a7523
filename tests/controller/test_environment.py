"""What recoveries see of their surroundings."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from typing_extensions import override

from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.settings import Settings
from queue_recovery.recovery.errors import NotYet
from tests.controller.environments import environment_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["", "media", "../.", "../..", "./.", "media/..", "media/a/b", "media/a?x", "media/a\n"]
)
async def test_what_is_no_name_of_a_recovery_is_not_looked_for(name: str) -> None:
    """It stands where anybody may write, and would be a part of the request's path."""
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as unreachable:
        environment = environment_of(KubernetesEnvironment, unreachable)

        assert await environment.exists(name, "a-uid") is None


class WithSecrets(KubernetesEnvironment):
    """One whose Secrets hold URLs of servers on loopback."""

    @override
    async def _read_secret(self, name: str, field: str) -> Mapping[str, str | bytes]:
        return {"url": base64.b64encode(f"{name}://127.0.0.1:1/".encode()).decode()}


async def test_an_operator_with_the_shipped_settings_connects_to_nothing_on_loopback() -> None:
    target = QueueTargetSpec.model_validate(
        {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
            "jobStore": {
                "mongodb": {"urlSecretRef": {"name": "mongodb", "key": "url"}, "database": "app", "collection": "jobs"}
            },
            "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
        }
    )
    async with ApiClient() as api:
        environment = environment_of(WithSecrets, api, destinations=Settings().destinations)
        for server in (await environment.broker(target), await environment.job_store(target)):
            with pytest.raises(NotYet) as error:
                await server.check()
            await server.aclose()

            assert error.value.reason == "AddressNotAllowed"
    for manifest in (ROOT / "manifests").rglob("*.yaml"):
        assert "QUEUE_RECOVERY_ALLOW" not in manifest.read_text()


async def test_certificates_of_the_job_store_are_read_from_the_secrets_that_the_target_names() -> None:
    read = []

    class Environment(KubernetesEnvironment):
        """One whose Secrets hold a URL and no certificate."""

        @override
        async def _read_secret(self, name: str, field: str) -> Mapping[str, str | bytes]:
            read.append(name)
            values = {"url": "mongodb://db.example/", "ca.crt": "no PEM", "tls.crt": "no PEM", "tls.key": "no PEM"}
            return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}

    target = QueueTargetSpec.model_validate(
        {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
            "jobStore": {
                "mongodb": {
                    "urlSecretRef": {"name": "mongodb", "key": "url"},
                    "database": "app",
                    "collection": "jobs",
                    "tls": {"caSecretRef": {"name": "ca"}, "clientCertificateSecretRef": {"name": "mine"}},
                }
            },
            "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
        }
    )
    async with ApiClient() as api:
        environment = environment_of(Environment, api)
        with pytest.raises(NotYet) as error:
            await environment.job_store(target)

    assert error.value.reason == "InvalidCertificate"
    assert read == ["mongodb", "ca", "mine"]
