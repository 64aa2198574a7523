"""What is in the operator's image, as its pod finds it."""

import json

import pytest

from tests.node import operator
from tests.node.cluster import Cluster
from tests.node.operator import NAMESPACE

_COMPILED = """
from importlib.machinery import SourceFileLoader

compiled = []
compile_source = SourceFileLoader.source_to_code


def source_to_code(self, data, path, **options):
    compiled.append(path)
    return compile_source(self, data, path, **options)


SourceFileLoader.source_to_code = source_to_code
import queue_recovery.controller.main

own = [path for path in compiled if path.startswith("/opt/queue-recovery/")]
print(len(own), *own[:3])
"""


async def test_nothing_is_compiled_when_the_operator_starts(cluster: Cluster) -> None:
    """Bytecode that does not fit the files' times is made again at each start: see docs/image.md."""
    [pod, *_] = await operator.pods(cluster)

    found = await cluster.kubectl(
        "exec", "-n", NAMESPACE, pod["metadata"]["name"], "--", "python", "-c", _COMPILED, seconds=120
    )

    assert found.split() == ["0"]


@pytest.mark.parametrize(
    ("argument", "code", "words"),
    [
        ("--version", 0, "queue-recovery 0."),
        ("--help", 0, "QUEUE_RECOVERY_"),
        ("--nonsense", 2, "queue-recovery: unrecognized arguments: --nonsense. queue-recovery --help"),
        (None, 2, "queue-recovery: "),
    ],
    ids=["version", "help", "nonsense", "no cluster"],
)
async def test_its_command_line_answers_where_there_is_no_cluster_to_talk_to(
    cluster: Cluster, namespace: str, argument: str | None, code: int, words: str
) -> None:
    """As `docker run IMAGE` does: a container alone, without a ServiceAccount."""
    [pod, *_] = await operator.pods(cluster)
    container = {
        "name": "main",
        "image": pod["spec"]["containers"][0]["image"],
        "args": [] if argument is None else [argument],
    }
    spec = {"automountServiceAccountToken": False, "restartPolicy": "Never", "containers": [container]}
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"}, "spec": spec}
    await cluster.apply(alone, namespace=namespace)

    async def ended() -> dict[str, int] | None:
        found = (await cluster.read("pod", "alone", "-n", namespace))["status"]
        ends = [status["state"].get("terminated") for status in found.get("containerStatuses", ())]
        return {"code": ends[0]["exitCode"]} if ends and ends[0] else None

    assert await cluster.until(ended, "the container to end") == {"code": code}
    said = await cluster.kubectl("logs", "alone", "-n", namespace)
    assert words in said
    if code:
        assert said.count("\n") == 1, json.dumps(said)
