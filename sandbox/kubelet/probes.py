"""Startup, readiness and liveness probes of a container."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sandbox.api import Json

_REFUSED: Final = 400
_EAGER_PERIOD: Final = 0.2


class Health:
    """The state of a container according to its probes."""

    def __init__(
        self,
        container: Json,
        address: str,
        execute: Callable[[Sequence[str]], Awaitable[int]],
        changed: Callable[[], None],
    ) -> None:
        """Prepare the probes of one container.

        Args:
            container: its entry in the pod's spec.
            address: of the pod.
            execute: runs a command in the container and returns its exit code.
            changed: called whenever `started` or `ready` changes.
        """
        self.started = False
        self.ready = False
        self._changed = changed
        self._probes = {
            kind: _Probe(container[f"{kind}Probe"], container, address, execute)
            for kind in ("startup", "readiness", "liveness")
            if f"{kind}Probe" in container
        }

    async def observe(self) -> None:
        """Run all probes until the container has to be killed."""
        startup = self._probes.get("startup")
        if startup is not None and not await startup.ask_until(passed=True, failed=True):
            return
        self.started = True
        self.ready = "readiness" not in self._probes
        self._changed()
        readiness = asyncio.create_task(self._follow_readiness())
        try:
            await self._fail()
        finally:
            readiness.cancel()

    async def _follow_readiness(self) -> None:
        probe = self._probes.get("readiness")
        if probe is None:
            return
        # Run often until it is ready for the first time, so that tests need not wait for a whole period.
        await probe.ask_until(passed=True, failed=False, period=min(probe.period, _EAGER_PERIOD))
        while True:
            self.ready = not self.ready
            self._changed()
            await probe.ask_until(passed=not self.ready, failed=self.ready)

    async def _fail(self) -> None:
        """Wait until the liveness probe fails; without one, indefinitely."""
        liveness = self._probes.get("liveness")
        if liveness is None:
            await asyncio.Event().wait()
        else:
            await liveness.ask_until(passed=False, failed=True)


class _Probe:
    """One probe, with its number of equal results in a row."""

    def __init__(
        self, spec: Json, container: Json, address: str, execute: Callable[[Sequence[str]], Awaitable[int]]
    ) -> None:
        self.period: float = spec.get("periodSeconds", 10)
        self._delay: float = spec.get("initialDelaySeconds", 0)
        self._seconds: float = spec.get("timeoutSeconds", 1)
        self._enough = {True: spec.get("successThreshold", 1), False: spec.get("failureThreshold", 3)}
        self._spec = spec
        self._container = container
        self._address = address
        self._execute = execute
        self._last = False
        self._in_a_row = 0

    async def ask_until(self, *, passed: bool, failed: bool, period: float | None = None) -> bool:
        """Repeat the probe until it has passed or failed often enough in a row; return the result.

        Args:
            passed: wait for success.
            failed: wait for failure.
            period: seconds between two attempts, if not the probe's own.
        """
        while True:
            await asyncio.sleep(self._delay or period or self.period)
            self._delay = 0
            answer = await self._ask()
            self._in_a_row = self._in_a_row + 1 if answer == self._last else 1
            self._last = answer
            if self._in_a_row >= self._enough[answer] and (passed if answer else failed):
                return answer

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                if "httpGet" in self._spec:
                    return await self._get(self._spec["httpGet"])
                if "tcpSocket" in self._spec:
                    return await self._connect(self._spec["tcpSocket"])
                return await self._execute(self._spec["exec"]["command"]) == 0
        except (TimeoutError, OSError, aiohttp.ClientError):
            return False

    async def _get(self, spec: Json) -> bool:
        url = f"{spec.get('scheme', 'HTTP').lower()}://{self._address}:{self._port(spec)}{spec.get('path', '/')}"
        headers = {header["name"]: header["value"] for header in spec.get("httpHeaders", ())}
        async with (
            # A kubelet does not check a container's certificate either.
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            return response.status < _REFUSED

    async def _connect(self, spec: Json) -> bool:
        _, writer = await asyncio.open_connection(self._address, self._port(spec))
        writer.close()
        return True

    def _port(self, spec: Json) -> int:
        port = spec["port"]
        if isinstance(port, int):
            return port
        named: dict[str, int] = {
            entry["name"]: entry["containerPort"] for entry in self._container.get("ports", ()) if "name" in entry
        }
        return named.get(port) or int(port)
