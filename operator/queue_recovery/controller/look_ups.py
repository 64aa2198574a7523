"""Threads for the look-ups of tenants' hosts, apart from the threads for all else.

asyncio looks names up in the threads of the loop's default executor, which every request to the API server needs too:
aiohttp asks for its proxy and its name there. A look-up cannot be interrupted: even if nobody waits for it any more,
it keeps its thread until the resolver gives up, after 20 seconds or more if a DNS server does not answer.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from typing_extensions import override

from queue_recovery.recovery.destinations import connecting_tenant

P = ParamSpec("P")
T = TypeVar("T")

_MOST: Final = 256
"""Look-ups under way, and so threads. The second half is for tenants that have none under way."""

_MOST_OF_TENANT: Final = 4


class Threads(ThreadPoolExecutor):
    """The default executor of an event loop: what a tenant's connection has done in a thread goes to `LookUps`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without a thread; only the loop's own thread may submit."""
        super().__init__(thread_name_prefix="asyncio")
        self.look_ups = LookUps(loop)

    @override
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        tenant = connecting_tenant()
        if tenant is None:
            return super().submit(fn, *args, **kwargs)
        key = args if fn is socket.getaddrinfo and not kwargs else object()
        return self.look_ups.submit(tenant, key, partial(fn, *args, **kwargs))


@dataclass(eq=False)
class _LookUp:
    tenant: str
    key: Hashable
    call: Callable[[], Any]
    waiters: set[Future[Any]] = field(default_factory=set)


class LookUps:
    """Look-ups by tenant: a few at once for each, and the others wait. Equal ones of a tenant are made once.

    All methods run in the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without any."""
        self._loop = loop
        self._begun = 0
        self._under_way: dict[str, dict[Hashable, _LookUp]] = {}
        self._waiting: dict[str, dict[Hashable, _LookUp]] = {}
        """The tenant whose turn comes next is the first one."""

    def submit(self, tenant: str, key: Hashable, call: Callable[[], T]) -> Future[T]:
        """Look up, or wait for the tenant's look-up with the same key."""
        found = self._under_way.get(tenant, {}).get(key) or self._waiting.get(tenant, {}).get(key)
        look_up = found or self._waiting.setdefault(tenant, {}).setdefault(key, _LookUp(tenant, key, call))
        waiter: Future[T] = Future()
        look_up.waiters.add(waiter)
        waiter.add_done_callback(partial(self._leave, look_up))
        if self._may_begin(tenant):
            self._begin_next(tenant)
        return waiter

    def _leave(self, look_up: _LookUp, waiter: Future[Any]) -> None:
        """Forget a look-up that has not begun if nobody waits for it any more."""
        look_up.waiters.discard(waiter)
        waiting = self._waiting.get(look_up.tenant, {})
        if not look_up.waiters and waiting.get(look_up.key) is look_up:
            _remove(self._waiting, look_up)

    def _may_begin(self, tenant: str) -> bool:
        if tenant not in self._waiting:
            return False
        own = len(self._under_way.get(tenant, ()))
        return self._begun < (_MOST // 2 if own else _MOST) and own < _MOST_OF_TENANT

    def _begin_next(self, tenant: str) -> None:
        """Begin the look-up of a tenant that has waited longest, and make it the other tenants' turn."""
        look_up = next(iter(self._waiting[tenant].values()))
        _remove(self._waiting, look_up)
        if tenant in self._waiting:
            self._waiting[tenant] = self._waiting.pop(tenant)
        self._under_way.setdefault(tenant, {})[look_up.key] = look_up
        self._begun += 1
        # The process does not wait for such a thread when it ends.
        thread = threading.Thread(target=self._run, args=(look_up,), name="look-up", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            self._loop.call_soon(self._ended, look_up, None, OSError("no thread can be started"))

    def _run(self, look_up: _LookUp) -> None:
        """Look up, in a thread."""
        result, failure = None, None
        try:
            result = look_up.call()
        except Exception as error:  # noqa: BLE001 - those who wait for it handle it
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended, look_up, result, failure)

    def _ended(self, look_up: _LookUp, result: object, failure: Exception | None) -> None:
        _remove(self._under_way, look_up)
        self._begun -= 1
        for waiter in list(look_up.waiters):
            if failure is None:
                waiter.set_result(result)
            else:
                waiter.set_exception(copy(failure))  # each who raises it adds a cause
        for tenant in list(self._waiting):
            if self._begun >= _MOST:
                return
            if self._may_begin(tenant):
                self._begin_next(tenant)


def _remove(look_ups: dict[str, dict[Hashable, _LookUp]], look_up: _LookUp) -> None:
    of_tenant = look_ups[look_up.tenant]
    del of_tenant[look_up.key]
    if not of_tenant:
        del look_ups[look_up.tenant]
