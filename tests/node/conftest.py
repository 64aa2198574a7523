"""The cluster that these tests run on: a node of this run's own, or the cluster that `--kubeconfig` names."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from sandbox.node import images
from sandbox.node.cluster import NodeCluster
from tests.node import operator
from tests.node.cluster import Cluster, Servers
from tests.node.team import Team

_FAILED = pytest.StashKey[bool]()
_OWN_SERVERS = Servers(
    redis=images.SERVERS,
    mongodb=images.SERVERS,
    mongodb_command=("secantusd-py", "--standalone", "--host", "0.0.0.0", "--storage-path", "/tmp/data"),  # noqa: S104, S108  # in its container
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what tells of another cluster."""
    group = parser.getgroup("cluster")
    group.addoption("--kubeconfig", help="run on this cluster, not on a node of this run's own")
    group.addoption("--image", help="the operator's image there, if not the one that the manifests name")
    group.addoption("--redis-image", default="redis:7", help="Redis there")
    group.addoption("--mongodb-image", default="mongo:8", help="MongoDB there")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on another's cluster, what needs power over its node; the end of the run counts them."""
    if not config.getoption("--kubeconfig"):
        return
    foreign = [item for item in items if item.get_closest_marker("own_node")]
    config.hook.pytest_deselected(items=foreign)
    items[:] = [item for item in items if item not in foreign]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bare_cluster(pytestconfig: pytest.Config) -> AsyncIterator[Cluster]:
    """A cluster without the operator."""
    kubeconfig = pytestconfig.getoption("--kubeconfig")
    if kubeconfig:
        yield Cluster(
            command=("kubectl", f"--kubeconfig={kubeconfig}"),
            servers=Servers(pytestconfig.getoption("--redis-image"), pytestconfig.getoption("--mongodb-image")),
            image=pytestconfig.getoption("--image"),
        )
        return
    built = await asyncio.to_thread(images.build_all)
    async with NodeCluster.start(built) as node:
        yield Cluster(command=node.kubectl, servers=_OWN_SERVERS, node=node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember on a test whether it has failed, for `namespace` to show what the cluster says."""
    report = yield
    item.stash[_FAILED] = report.failed
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(bare_cluster: Cluster) -> Cluster:
    """A cluster with the operator, installed as the README says."""
    await operator.install(bare_cluster)
    return bare_cluster


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A namespace for one test; its deletion is not awaited. What the cluster says is shown when the test fails."""
    name = f"team-{secrets.token_hex(3)}"
    await cluster.kubectl("create", "namespace", name)
    yield name
    if request.node.stash.get(_FAILED, False):
        print(await operator.report(cluster, name))  # noqa: T201  # pytest shows it beside the failure
    await cluster.kubectl("delete", "queuerecoveries", "--all", "-n", name, "--wait=false")
    await cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest_asyncio.fixture(loop_scope="session")
async def team(cluster: Cluster, namespace: str) -> Team:
    """A team in a namespace of its own; nothing of it runs yet."""
    return Team(cluster, namespace)
