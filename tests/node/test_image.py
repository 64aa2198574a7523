"""What is in the operator's image, as its pod finds it."""

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
