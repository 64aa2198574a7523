"""A broker behind Sentinels that have a password, with servers that speak TLS and ask for a certificate."""

from pathlib import Path

from redis.asyncio import Redis

from sandbox.certificates import Authority, KeyPair
from sandbox.cluster import Sandbox
from sandbox.processes import LOOPBACK, free_port
from tests.e2e.team import Team, condition, envelope
from tests.redis_server import needs_redis

NAME = "media"
PASSWORD = "hunter2"


def files(pair: KeyPair, authority: Authority) -> list[str]:
    """Return the options by which a server shows this certificate, and asks for one."""
    options = {"cert": pair.certificate, "key": pair.key, "ca-cert": authority.path}
    return [word for kind, path in options.items() for word in (f"--tls-{kind}-file", str(path))]


@needs_redis
async def test_a_recovery_goes_through_sentinels_and_tls_with_the_secrets_that_the_target_names(
    team: Team, operator: Sandbox, tmp_path: Path
) -> None:
    authority = Authority.create(tmp_path / "ca")
    pair, mine = authority.issue("redis"), authority.issue("operator")
    tls = files(pair, authority)
    server = await operator.start_broker(flavour="redis", options=["--tls-port", str(port := free_port()), *tls])
    watching = ["--sentinel", "--requirepass", PASSWORD, "--tls-replication", "yes", *tls]
    sentinel = await operator.start_broker(flavour="redis", options=watching)
    async with Redis(host=LOOPBACK, port=sentinel.port, password=PASSWORD) as asked:
        await asked.execute_command("SENTINEL", "MONITOR", NAME, LOOPBACK, port, 1)  # type: ignore[no-untyped-call]
    await team.secrets(redis=f"sentinel://{LOOPBACK}:{sentinel.port}/3")
    await team.kubectl("create", "secret", "generic", "sentinel", f"--from-literal=password={PASSWORD}")
    await team.kubectl("create", "secret", "generic", "ca", f"--from-file=ca.crt={authority.path}")
    await team.kubectl("create", "secret", "tls", "mine", f"--cert={mine.certificate}", f"--key={mine.key}")
    await team.workers(replicas=1)
    transport = {"masterName": NAME, "sentinelKwargs": {"passwordSecretRef": {"name": "sentinel", "key": "password"}}}
    certificates = {"caSecretRef": {"name": "ca"}, "clientCertificateSecretRef": {"name": "missing"}}
    await team.target(broker={"transportOptions": transport, "tls": certificates})
    async with Redis(host=LOOPBACK, port=server.port, db=3) as redis:
        await redis.lpush("work", envelope("t"))
        await team.recovery(jobs=[{"task": "work.run", "args": '["a"]'}])
        assert 'Secret "missing"' in await team.waits("SecretNotFound")
        await team.target(broker={"transportOptions": transport, "tls": {"caSecretRef": {"name": "ca"}}})
        assert "clientCertificateSecretRef" in await team.waits("BrokerCertificateRefused")

        certificates["clientCertificateSecretRef"] = {"name": "mine"}
        await team.target(broker={"transportOptions": transport, "tls": certificates})
        status = await team.reached("Succeeded")

        assert condition(status, "Succeeded")["status"] == "True"
        assert status["messages"]["quarantined"] == 1
        assert await redis.llen("work") == 1
    seen = (
        str(await team.get("QueueTarget", "team"))
        + str(await team.get("QueueRecovery", "stuck"))
        + await team.kubectl("get", "events")
    )
    label = "app.kubernetes.io/name=queue-recovery"
    logs = await operator.kubectl("-n", "queue-recovery", "logs", "--selector", label, "--tail=-1")
    for secret in (PASSWORD, "BEGIN", mine.key.read_text().splitlines()[1]):
        assert secret not in seen + logs
