"""Which messages in `unacked` no running worker can hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.stuck_evidence import Running
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Consumer
from queue_recovery.recovery.stranded import is_stranded, refuse_unknown, running
from queue_recovery.workers.processes import holds_since, oldest_process
from tests.sample_worker import WORKER
from tests.workers.test_processes import pod

START = 1_900_000_000.0
STARTED = datetime.fromtimestamp(START, UTC)
NOW = STARTED + timedelta(days=30)


RUNNING = Running(oldest=STARTED, holds_since=STARTED - timedelta(seconds=5))


@pytest.mark.parametrize(
    ("delivered", "processes", "stranded"),
    [
        pytest.param(START - 5.001, RUNNING, True, id="before what they may hold"),
        pytest.param(START - 5, RUNNING, False, id="the earliest that they may hold"),
        pytest.param(START, RUNNING, False, id="when they were started"),
        pytest.param(START + 1e9, RUNNING, False, id="by a clock that is fast"),
        pytest.param(float("inf"), RUNNING, False, id="never"),
        pytest.param(float("-inf"), RUNNING, True, id="always"),
        pytest.param(None, RUNNING, False, id="nobody knows when"),
        pytest.param(None, None, True, id="nobody knows when, and nobody runs"),
        pytest.param(START, None, True, id="nobody runs"),
    ],
)
def test_a_message_is_stranded_if_no_running_process_can_hold_what_was_delivered_then(
    delivered: float | None, processes: Running | None, *, stranded: bool
) -> None:
    assert is_stranded(delivered, processes, NOW) is stranded


times = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)
ends = st.one_of(st.none(), st.floats(0, 600))
"""How long before its start the last process of a container has ended; None: it is the first one."""


@given(
    processes=st.lists(st.tuples(times, st.floats(-3600, 3600), ends), min_size=1, max_size=5),
    delivery=st.integers(0, 4),
    after=st.floats(1, 1e5),
    late=st.floats(0, 4),
)
def test_what_a_running_process_holds_is_never_stranded_no_matter_what_the_clocks_of_the_nodes_say(
    processes: list[tuple[float, float, float | None]], delivery: int, after: float, late: float
) -> None:
    """A worker takes its first message a second after its start at the earliest."""
    workers = {}
    for number, (start, skew, end) in enumerate(processes):
        ref = WorkerRef(name=f"w{number}")
        # Each node has its own clock. The kubelet reports a start in whole seconds, and a little late.
        running_since = {"running": {"startedAt": reported(start + skew + late)}}
        ended = {} if end is None else {"terminated": {"exitCode": 137, "finishedAt": reported(start + skew - end)}}
        pods = [pod({"state": running_since, "lastState": ended})]
        workers[ref] = replace(WORKER, ref=ref, oldest_process=oldest_process(pods), holds_since=holds_since(pods))
    start, skew, _ = processes[delivery % len(processes)]
    delivered = START + start + after + skew

    assert not is_stranded(delivered, running(list(workers.values())), NOW)


def reported(seconds: float) -> str:
    return datetime.fromtimestamp(int(START + seconds), UTC).isoformat()


def test_a_worker_without_pods_does_not_count() -> None:
    one, other = WorkerRef(name="one"), WorkerRef(name="other")
    workers = {
        one: replace(WORKER, oldest_process=None),
        other: replace(WORKER, oldest_process=STARTED, holds_since=RUNNING.holds_since),
    }

    assert running([workers[one], workers[other]]) == RUNNING
    assert running([workers[one]]) is None


def consumer(address: str) -> Consumer:
    return Consumer(id="1", address=address, age_seconds=1)


def test_a_consumer_is_known_by_the_address_of_a_pod_or_of_its_node() -> None:
    worker = replace(WORKER, connects_from=frozenset({"10.1.0.7", "192.0.2.1"}))
    refuse_unknown([consumer("10.1.0.7"), consumer("192.0.2.1")], [worker])
    refuse_unknown([], [worker])

    with pytest.raises(
        RecoveryError, match=r"UnknownConsumer: connections come from 10\.0\.0\.1, 10\.0\.0\.2 and wait"
    ):
        refuse_unknown([consumer("10.0.0.2"), consumer("10.0.0.1"), consumer("10.0.0.1")], [worker])


@pytest.mark.parametrize(("ahead", "stranded"), [(0, True), (59, True), (61, False), (600, False)])
def test_nothing_is_stranded_by_the_word_of_a_process_that_says_to_have_been_started_in_the_future(
    ahead: int, *, stranded: bool
) -> None:
    # The node's clock was ahead when it was started, and has been set back since: what it takes looks older than it.
    now = STARTED - timedelta(seconds=ahead)

    assert is_stranded(START - 300, RUNNING, now) is stranded
