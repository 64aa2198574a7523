"""Fixtures that every test may ask for, and which tests share a process."""

from typing import Final

import pytest
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["sandbox.pytest_plugin"]

_SHARING: Final = (
    ("tests/e2e/",),
    ("tests/chaos/",),
    ("tests/controller/", "tests/workers/", "tests/sandbox/test_pods.py"),
    ("tests/manifests/",),
)
"""What begins the ids of tests that share servers, which take ten seconds of a processor to start, and more to idle."""


class _Scheduling(LoadFileScheduling):  # type: ignore[misc] # it has no types
    """The tests of a file run in one process, and so do those that share servers."""

    def _split_scope(self, nodeid: str) -> str:
        shared = next((beginnings[0] for beginnings in _SHARING if nodeid.startswith(beginnings)), None)
        return shared or super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling:
    """Tell pytest-xdist which tests share a process."""
    return _Scheduling(config, log)
