"""Fixtures that every test may ask for, and which tests share a process."""

import pytest
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["sandbox.pytest_plugin"]

_SHARE_SERVERS = ("tests/chaos/", "tests/manifests/")
"""Folders whose tests share servers of their own, which take seconds of a processor to start."""


class _Scheduling(LoadFileScheduling):  # type: ignore[misc] # it has no types
    """The tests of a file run in one process, and so do those of a folder that shares servers."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in _SHARE_SERVERS if nodeid.startswith(folder)), super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling:
    """Tell pytest-xdist which tests share a process."""
    return _Scheduling(config, log)
