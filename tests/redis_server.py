"""Tests that need the `redis-server` of this machine: Valkey's package speaks no TLS and has no Sentinel."""

import pytest

from sandbox.broker import flavours

IS_HERE = "redis" in flavours()
REASON = "redis-server is not installed"

needs_redis = pytest.mark.skipif(not IS_HERE, reason=REASON)
