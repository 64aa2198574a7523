"""What the operator's process says when it is started."""

import asyncio
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from sandbox.cluster import Sandbox
from sandbox.processes import ROOT, free_port, until

PROGRAM = Path(sys.executable).with_name("queue-recovery")


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        env={"PATH": os.environ["PATH"], **environment},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_a_wrong_setting_is_one_line_that_names_it() -> None:
    process = await start(QUEUE_RECOVERY_HTTP_PORT="eighty", QUEUE_RECOVERY_LOG_LEVEL="LOUD")
    output, _ = await process.communicate()
    lines = output.decode().splitlines()
    assert process.returncode == 2
    assert [re.sub(":.*", "", line.removeprefix("queue-recovery: ")) for line in lines] == [
        "QUEUE_RECOVERY_LOG_LEVEL",
        "QUEUE_RECOVERY_HTTP_PORT",
    ]


async def answer(*arguments: str, **environment: str) -> tuple[int | None, list[str]]:
    """Return the exit code and the lines that it writes."""
    process = await start(*arguments, **environment)
    output, _ = await process.communicate()
    return process.returncode, output.decode().splitlines()


@pytest.mark.thorough
async def test_it_tells_its_version_without_a_cluster() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert await answer("--version") == (0, [f"queue-recovery {version}"])


@pytest.mark.thorough
async def test_without_a_cluster_it_ends_with_one_line() -> None:
    code, [line] = await answer(HOME="/nonexistent")
    assert code == 2
    assert line.startswith("queue-recovery: no cluster is configured: ")
    assert '"/nonexistent/.kube/config"' in line


@pytest.mark.usefixtures("definitions")
async def test_it_serves_metrics_and_health_and_stops_when_it_is_told_to(sandbox: Sandbox) -> None:
    port = free_port()
    process = await start(
        KUBECONFIG=str(sandbox.kubeconfig),
        QUEUE_RECOVERY_HTTP_HOST="127.0.0.1",
        QUEUE_RECOVERY_HTTP_PORT=str(port),
        QUEUE_RECOVERY_LEASE_SECONDS="0",
    )

    async def ready() -> str | None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return None
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
        return answer if "200 OK" in answer else None

    await until(ready, "the operator to be ready")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    metrics = (await reader.read()).decode()
    writer.close()
    for name in (
        "queue_recovery_leader 1.0",
        "queue_recovery_active 0.0",
        "queue_recovery_messages_quarantined_total 0.0",
    ):
        assert name in metrics
    process.terminate()
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert "stopped" in output.decode().splitlines()[-1]
