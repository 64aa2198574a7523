"""The processes of a worker's live pods: their starts, their addresses, and since when they are ready. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from queue_recovery.workers.objects import Container, ContainerStatus, Pod

_HOLDS_NOTHING: Final = re.compile(r"(-P|--pool)[ =]*solo\b|--disable-prefetch\b")

_ALLOWANCE: Final = timedelta(seconds=5)
"""Before the start of a process, for a clock that was set back since, and a runtime that reports the start late."""

_SECOND: Final = timedelta(seconds=1)
"""Kubernetes' times are in whole seconds, rounded down."""

_UNKNOWN: Final = datetime(1970, 1, 1, tzinfo=UTC)


def oldest_process(live: Collection[Pod]) -> datetime | None:
    """Return the earliest time at which a running process of these pods may have been started; None: no pods.

    A container that was restarted in place has a new process. One that waits for its restart may have one by now,
    which the kubelet has not reported: that was started after the last one ended. All of these times are those of the
    clock of the pod's node, which is the clock of its processes too.
    """
    return min((start for pod in live for start in _starts(pod)), default=None)


def holds_since(live: Collection[Pod]) -> datetime | None:
    """Return the earliest delivery that a running process of these pods may hold; None: no pods.

    Where a container was restarted in place, it is known when its last process ended. The next one was started after
    that, and has not begun to consume within the same second. Other processes may hold what was delivered from a few
    seconds before the start that is reported.
    """
    return min((since for pod in live for since in _holds_since(pod)), default=None)


def in_first_run(live: Collection[Pod]) -> Mapping[str, int]:
    """Return those of these pods all of whose containers run, and have not been restarted.

    Returns:
        The seconds that each may take to end, by its name.
    """
    return {
        pod.metadata.name: pod.spec.termination_grace_period_seconds
        for pod in live
        if pod.status.container_statuses
        and all(one.state.running is not None and not one.restart_count for one in _containers(pod))
    }


def connects_from(live: Collection[Pod]) -> frozenset[str]:
    """Return the addresses from which these pods may connect: their own, and their nodes' if those translate them."""
    found = [address for pod in live for address in (pod.status.pod_ip, pod.status.host_ip)]
    found += [one.ip for pod in live for one in (*pod.status.pod_ips, *pod.status.host_ips)]
    return frozenset(address for address in found if address)


def ready_since(live: Collection[Pod]) -> tuple[datetime, ...]:
    """Return since when those of these pods are ready that are not being stopped, the longest first."""
    return tuple(
        sorted(
            condition.last_transition_time or _UNKNOWN
            for pod in live
            if pod.metadata.deletion_timestamp is None
            for condition in pod.status.conditions
            if condition.type == "Ready" and condition.status == "True"
        )
    )


def may_hold_nothing(containers: Collection[Container]) -> bool:
    """Tell whether Celery's options say that a worker holds no message while it runs one that it acknowledged early.

    The pool `solo` runs a task in the loop that takes messages; `--disable-prefetch` takes none while all of the pool
    is in use (`celery/bin/worker.py`). What the application's configuration says is not known here.
    """
    return any(_HOLDS_NOTHING.search(" ".join([*one.command, *one.args])) for one in containers)


def _earliest(pod: Pod) -> datetime:
    return pod.status.start_time or pod.metadata.creation_timestamp or _UNKNOWN


def _holds_since(pod: Pod) -> Iterator[datetime]:
    containers = _containers(pod)
    if not containers:
        yield _earliest(pod) - _ALLOWANCE
    for container in containers:
        start, end = _started(container) or _earliest(pod), _ended(container)
        yield start - _ALLOWANCE if end is None else max(start - _ALLOWANCE, min(start, end + _SECOND))


def _starts(pod: Pod) -> Iterator[datetime]:
    containers = _containers(pod)
    if not containers:
        yield _earliest(pod)
    for container in containers:
        yield _started(container) or _earliest(pod)


def _containers(pod: Pod) -> Sequence[ContainerStatus]:
    # An init container that has ended does not run again; one that runs beside the others is a sidecar.
    sidecars = [one for one in pod.status.init_container_statuses if one.state.terminated is None]
    return [*pod.status.container_statuses, *sidecars, *pod.status.ephemeral_container_statuses]


def _started(container: ContainerStatus) -> datetime | None:
    return container.state.running.started_at if container.state.running is not None else _ended(container)


def _ended(container: ContainerStatus) -> datetime | None:
    """Return when the last process of a container ended; None: it has had one process only, or that is not known."""
    last = container.state.terminated or container.last_state.terminated
    return None if last is None else last.finished_at
