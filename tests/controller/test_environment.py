"""What recoveries read of their namespace, and how they connect to its servers."""

from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.controller.settings import Settings
from queue_recovery.recovery.errors import RecoveryError
from tests.controller.environments import GivenSecrets, environment_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["", "media", "../.", "../..", "./.", "media/..", "media/a/b", "media/a?x", "media/a\n"]
)
async def test_what_is_no_name_of_a_recovery_is_not_looked_for(name: str) -> None:
    """It is read where any client may write, and would be a part of the request's path."""
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as unreachable:
        environment = environment_of(unreachable)

        assert await environment.exists(name, "a-uid") is None


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
        secrets = GivenSecrets(api, {name: {"url": f"{name}://127.0.0.1:1/"} for name in ("redis", "mongodb")})
        environment = environment_of(api, destinations=Settings().destinations, secrets=secrets)
        for server in (await environment.broker(target), await environment.job_store(target)):
            with pytest.raises(RecoveryError) as error:
                await server.check()
            await server.aclose()

            assert error.value.reason == "AddressNotAllowed"
    for manifest in (ROOT / "manifests").rglob("*.yaml"):
        assert "QUEUE_RECOVERY_ALLOW" not in manifest.read_text()


async def test_certificates_of_the_job_store_are_read_from_the_secrets_that_the_target_names() -> None:
    certificate = {"tls.crt": "no PEM", "tls.key": "no PEM"}
    values = {"mongodb": {"url": "mongodb://db.example/"}, "ca": {"ca.crt": "no PEM"}, "mine": certificate}
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
        secrets = GivenSecrets(api, values)
        environment = environment_of(api, secrets=secrets)
        with pytest.raises(RecoveryError) as error:
            await environment.job_store(target)

    assert error.value.reason == "InvalidCertificate"
    assert secrets.names_read == ["mongodb", "ca", "mine"]


@pytest.mark.parametrize(
    ("results", "read"),
    [
        ({}, ["redis"]),
        ({"urlSecretRef": {"name": "results", "key": "url"}}, ["results"]),
        (
            {
                "urlSecretRef": {"name": "results", "key": "url"},
                "tls": {"clientCertificateSecretRef": {"name": "mine"}},
            },
            ["results", "mine"],
        ),
    ],
)
async def test_results_are_reached_as_the_broker_is_or_with_a_url_of_their_own_and_nowhere_on_loopback(
    results: object, read: list[str]
) -> None:
    target = QueueTargetSpec.model_validate(
        {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
            "diagnosis": {"results": results},
            "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
        }
    )
    values = {name: {"url": "redis://127.0.0.1:1/"} for name in ("redis", "results")}
    async with ApiClient() as api:
        secrets = GivenSecrets(api, {**values, "mine": {"tls.crt": "no PEM", "tls.key": "no PEM"}})
        environment = environment_of(api, destinations=Settings().destinations, secrets=secrets)
        with pytest.raises(RecoveryError) as error:
            await (await environment.results(target)).read(["a"])

    assert error.value.reason == ("AddressNotAllowed" if len(read) == 1 else "InvalidBrokerURL")
    assert secrets.names_read == read
    assert "results" not in target.secrets
