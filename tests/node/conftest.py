"""The cluster that these tests run on: a node of this run's own, or the cluster that `--kubeconfig` names."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from sandbox import job_store
from sandbox.node import images
from sandbox.node.cluster import NodeCluster
from tests.node import operator
from tests.node.cluster import MONGODB_DATA, Cluster, Servers
from tests.node.team import Team, job_ids

_FAILED = pytest.StashKey[bool]()
_OWN_SERVERS = Servers(
    redis=images.SERVERS,
    mongodb=images.SERVERS,
    mongodb_command=(
        *("env", *(f"{name}={value}" for name, value in job_store.ENVIRONMENT.items())),
        *("secantusd-py", "--standalone", "--host", "0.0.0.0", "--storage-path", MONGODB_DATA),  # noqa: S104  # in its pod
    ),
)


_ORDER = (
    # What is installed is looked at before anything is done to it.
    "test_installation",
    "test_image",
    # From here on the operator's tokens are over after ten minutes, which these files fill.
    "test_story",
    "test_workers",
    "test_servers",
    "test_node_away",
    "test_tokens",
    # These restart the operator.
    "test_access",
    "test_operator_pods",
    "test_upgrade",
    "test_uninstall",
    "test_images",
    "test_traces",
)


@dataclass(frozen=True)
class ShortTokens:
    """What was begun when the operator got tokens of ten minutes."""

    team: Team
    jobs: Sequence[str]
    granted: datetime


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what tells of another cluster."""
    group = parser.getgroup("cluster")
    group.addoption("--kubeconfig", help="run on this cluster, not on a node of this run's own")
    group.addoption("--image", help="the operator's image there, if not the one that the manifests name")
    group.addoption("--redis-image", default="redis:7", help="Redis there")
    group.addoption("--mongodb-image", default="mongo:8", help="MongoDB there")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files into their order, and leave out, on another's cluster, what needs power over its node.

    The end of the run counts those that are left out.
    """
    items.sort(key=lambda item: _ORDER.index(item.path.stem))
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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def short_tokens(cluster: Cluster) -> ShortTokens:
    """Give the operator tokens of ten minutes, and begin a recovery that is held."""
    await operator.shorten_tokens(cluster)
    await cluster.kubectl("create", "namespace", "beyond-the-token")
    team = Team(cluster, "beyond-the-token")
    jobs = job_ids(1)
    await team.set_up()
    await team.poison(*jobs)
    await team.failed(*jobs)
    await team.recover("held", jobs, suspend=True)
    return ShortTokens(team, jobs, datetime.now(UTC))


@pytest.fixture(scope="session")
def own_short_tokens(request: pytest.FixtureRequest) -> None:
    """Begin with short tokens, but not on another's cluster."""
    if not request.config.getoption("--kubeconfig"):
        request.getfixturevalue("short_tokens")


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
