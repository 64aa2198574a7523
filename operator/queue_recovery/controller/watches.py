"""The watches of the operator's resources, as `/readyz` and the log report them.

kopf's own ready flag means that it has started, not that it can read anything.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from queue_recovery.api.base import API_VERSION
from queue_recovery.controller.api_server import GRACE
from queue_recovery.recovery.wording import named

PLURALS = ("queuerecoveries", "queuetargets")
_LOG = logging.getLogger(__name__)
_NAMED = 4


class Watched(NamedTuple):
    """What one watch is for."""

    plural: str
    namespace: str | None
    """None: all of them."""


@dataclass(frozen=True)
class Failure:
    """Why a watch is not up: while it may pass by itself, and once it has lasted."""

    kind: Literal["not served", "not granted", "trouble"]
    """Each kind is reported once, even if its details change."""
    passing: str
    lasting: str


NOT_SERVED = Failure(
    "not served",
    "the API server does not serve them yet",
    f"the API server does not serve {API_VERSION}. Apply the CustomResourceDefinitions: kubectl apply -k crds/",
)
NOT_GRANTED = Failure(
    "not granted",
    "the API server does not grant access yet",
    'the ServiceAccount may not list and watch them. Bind the ClusterRole "queue-recovery" to it '
    "(manifests/operator/rbac.yaml)",
)


def failed(what: str) -> Failure:
    """Return the failure of a server that answers with an error, or not at all."""
    return Failure("trouble", f"the API server {what}", f"the API server {what}. Trying again")


@dataclass
class _Watch:
    up: bool = False
    lost: float | None = None
    """When it was last up; None: never."""
    failing: float = math.inf
    """Since when all tries have failed for a reason of this kind."""
    failure: Failure | None = None


class Watches:
    """The state of each watch, as the requests show it."""

    def __init__(self, namespaces: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Take the namespaces, none for all of them, and a monotonic clock in seconds."""
        self._clock = clock
        self._watches = {Watched(plural, name): _Watch() for name in namespaces or (None,) for plural in PLURALS}
        self._complete = False
        """Whether all were up and none has failed since."""
        self._reported: set[tuple[str, bool]] = set()

    def begins(self, which: Watched) -> None:
        """Record the request of a list or a watch: the watch before it has ended."""
        watch = self._watches[which]
        if watch.up:
            watch.up, watch.lost = False, self._clock()

    def succeeds(self, which: Watched) -> None:
        """Record that a watch was answered; it follows a complete list."""
        self._watches[which] = _Watch(up=True)
        if not self._complete and all(watch.up for watch in self._watches.values()):
            self._complete = True
            self._reported.clear()
            _LOG.info("watching %s", _listed(self._watches))

    def fails(self, failure: Failure, which: Watched | None = None) -> None:
        """Record that a request has failed.

        It is of one watch, or without `which` one that all watches need.
        """
        now = self._clock()
        for watched, watch in self._watches.items():
            if not watch.up and which in {None, watched}:
                if watch.failure is None or watch.failure.kind != failure.kind:
                    watch.failing = now
                watch.failure = failure
        self._complete = False
        lasts = self._lasts(failure, now)
        if (failure.kind, lasts) not in self._reported:
            self._reported.add((failure.kind, lasts))
            _LOG.log(logging.WARNING if lasts else logging.INFO, "%s", self._report(failure, now))

    def waits_for(self) -> str:
        """Return in one line why the watches are not ready; empty: they are.

        A watch that has been lost for only a moment counts as ready.
        """
        now = self._clock()
        if not any(_is_missed(watch, now) for watch in self._watches.values()):
            return ""
        failures = dict.fromkeys(watch.failure for watch in self._watches.values() if not watch.up)
        return "; ".join(self._report(failure, now) for failure in failures)

    def _report(self, failure: Failure | None, now: float) -> str:
        names = _listed(name for name, watch in self._watches.items() if not watch.up and watch.failure == failure)
        if failure is None:
            return f"waiting for the list of {names}"
        if self._lasts(failure, now):
            return f"not watching {names}: {failure.lasting}"
        return f"waiting for {names}: {failure.passing}"

    def _lasts(self, failure: Failure, now: float) -> bool:
        return any(
            watch.failure is not None and watch.failure.kind == failure.kind and now - watch.failing >= GRACE
            for watch in self._watches.values()
        )


def _is_missed(watch: _Watch, now: float) -> bool:
    return not watch.up and (watch.lost is None or now - watch.lost >= GRACE)


def _listed(names: Iterable[Watched]) -> str:
    return named(
        [plural if namespace is None else f'{plural} in namespace "{namespace}"' for plural, namespace in names],
        most=_NAMED,
    )
