"""Which servers tests run on: what both kinds answer, `make test` shows on one of them."""

import pytest

from sandbox.broker import flavours

IS_HERE = "redis" in flavours()
REASON = "redis-server is not installed"

needs_redis = pytest.mark.skipif(not IS_HERE, reason=REASON)
"""Valkey's package speaks no TLS and has no Sentinel."""

EACH_KIND = [
    pytest.param(kind, marks=[pytest.mark.thorough] if number else []) for number, kind in enumerate(flavours())
]
"""The kinds of server of this machine, as parameters."""
