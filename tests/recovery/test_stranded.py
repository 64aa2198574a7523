"""Which messages in `unacked` no running worker can hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Consumer
from queue_recovery.recovery.stranded import ALLOWANCE_SECONDS, is_stranded, oldest_process, refuse_unknown
from tests.sample_worker import WORKER

START = 1_900_000_000.0
STARTED = datetime.fromtimestamp(START, UTC)
NOW = STARTED + timedelta(days=30)


@pytest.mark.parametrize(
    ("delivered", "oldest", "stranded"),
    [
        pytest.param(START - ALLOWANCE_SECONDS - 0.001, STARTED, True, id="before the oldest process"),
        pytest.param(START - ALLOWANCE_SECONDS, STARTED, False, id="within the allowance"),
        pytest.param(START, STARTED, False, id="when it was started"),
        pytest.param(START + 1e9, STARTED, False, id="by a clock that is fast"),
        pytest.param(float("inf"), STARTED, False, id="never"),
        pytest.param(float("-inf"), STARTED, True, id="always"),
        pytest.param(None, STARTED, False, id="nobody knows when"),
        pytest.param(None, None, True, id="nobody knows when, and nobody runs"),
        pytest.param(START, None, True, id="nobody runs"),
    ],
)
def test_a_message_is_stranded_if_it_was_delivered_before_the_oldest_process_was_started(
    delivered: float | None, oldest: datetime | None, *, stranded: bool
) -> None:
    assert is_stranded(delivered, oldest, NOW) is stranded


times = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)


@given(
    processes=st.lists(st.tuples(times, st.floats(-3600, 3600)), min_size=1, max_size=5),
    delivery=st.integers(0, 4),
    after=st.floats(0, 1e5),
    late=st.floats(0, ALLOWANCE_SECONDS - 1),
)
def test_what_a_running_process_holds_is_never_stranded_no_matter_what_the_clocks_of_the_nodes_say(
    processes: list[tuple[float, float]], delivery: int, after: float, late: float
) -> None:
    # Each node has its own clock. The kubelet reports a start in whole seconds, and a little late.
    workers = {}
    for number, (start, skew) in enumerate(processes):
        ref = WorkerRef(name=f"w{number}")
        reported = datetime.fromtimestamp(int(START + start + skew + late), UTC)
        workers[ref] = replace(WORKER, ref=ref, oldest_process=reported)
    start, skew = processes[delivery % len(processes)]
    delivered = START + start + after + skew

    assert not is_stranded(delivered, oldest_process(list(workers), workers), NOW)


def test_a_worker_without_pods_does_not_count() -> None:
    one, other = WorkerRef(name="one"), WorkerRef(name="other")
    workers = {one: replace(WORKER, oldest_process=None), other: replace(WORKER, oldest_process=STARTED)}

    assert oldest_process([one, other], workers) == STARTED
    assert oldest_process([one], workers) is None


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

    assert is_stranded(START - 300, STARTED, now) is stranded
