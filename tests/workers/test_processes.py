"""When the processes of a worker's pods were started, and from where they connect."""

from datetime import datetime
from typing import Any

import pytest

from queue_recovery.workers.objects import Pod
from queue_recovery.workers.processes import connects_from, holds_since, in_first_run, oldest_process

Json = dict[str, Any]

FIRST, SECOND, THIRD, FOURTH = (f"2026-05-01T0{hour}:00:00Z" for hour in range(1, 5))


def running(since: str) -> Json:
    return {"state": {"running": {"startedAt": since}}}


def waiting(ended: str | None = None) -> Json:
    last = {} if ended is None else {"lastState": {"terminated": {"exitCode": 137, "finishedAt": ended}}}
    return {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, **last}


def ended(at: str) -> Json:
    return {"state": {"terminated": {"exitCode": 0, "finishedAt": at}}}


def again(started: str, *, after: str) -> Json:
    """Return a container that was restarted in place on the first of May, after its last process had ended."""
    last = {"terminated": {"exitCode": 137, "finishedAt": f"2026-05-01T{after}Z"}}
    return running(f"2026-05-01T{started}Z") | {"lastState": last}


def pod(*containers: Json, created: str = FIRST, **status: object) -> Pod:
    return Pod.model_validate(
        {
            "metadata": {"name": "p", "uid": "p", "resourceVersion": "1", "creationTimestamp": created},
            "status": {"phase": "Running", "containerStatuses": list(containers), **status},
        }
    )


@pytest.mark.parametrize(
    ("pods", "oldest"),
    [
        pytest.param([], None, id="no pod"),
        pytest.param([pod(running(THIRD))], THIRD, id="running"),
        pytest.param([pod(running(THIRD)), pod(running(SECOND))], SECOND, id="the oldest of two pods"),
        pytest.param([pod(running(THIRD), running(SECOND))], SECOND, id="the oldest of two containers"),
        pytest.param([pod(running(FOURTH) | {"lastState": ended(SECOND)["state"]})], FOURTH, id="restarted in place"),
        pytest.param([pod(waiting(THIRD), startTime=SECOND)], THIRD, id="it may have been restarted since it ended"),
        pytest.param([pod(ended(THIRD), startTime=SECOND)], THIRD, id="it may be started again"),
        pytest.param([pod(waiting(), startTime=SECOND)], SECOND, id="it may have been started since the kubelet knows"),
        pytest.param([pod()], FIRST, id="the kubelet has reported nothing"),
        pytest.param([pod(startTime=SECOND)], SECOND, id="the kubelet has reported no container"),
        pytest.param([pod({"state": {"running": {}}})], FIRST, id="without a time"),
        pytest.param(
            [pod(running(THIRD), initContainerStatuses=[ended(SECOND)])], THIRD, id="an init container is over"
        ),
        pytest.param([pod(running(THIRD), initContainerStatuses=[running(SECOND)])], SECOND, id="a sidecar"),
        pytest.param([pod(running(THIRD), ephemeralContainerStatuses=[running(SECOND)])], SECOND, id="a debugger"),
    ],
)
def test_the_oldest_process_is_never_said_to_be_younger_than_it_can_be(pods: list[Pod], oldest: str | None) -> None:
    assert oldest_process(pods) == (None if oldest is None else datetime.fromisoformat(oldest))


@pytest.mark.parametrize(
    ("container", "since"),
    [
        pytest.param(running("2026-05-01T01:00:30Z"), "01:00:25", id="the first one, by a clock that was set back"),
        pytest.param(again("01:00:30", after="01:00:20"), "01:00:25", id="restarted in place long after"),
        pytest.param(again("01:00:30", after="01:00:28"), "01:00:29", id="after the second of the last end"),
        pytest.param(again("01:00:30", after="01:00:30"), "01:00:30", id="within the same second"),
        pytest.param(waiting("2026-05-01T01:00:30Z"), "01:00:30", id="it may have been restarted since it ended"),
        pytest.param(waiting(), "00:59:55", id="it may have been started since the kubelet knows"),
    ],
)
def test_a_process_holds_nothing_that_the_last_one_in_its_container_was_given(container: Json, since: str) -> None:
    found = holds_since([pod(container, startTime=FIRST)])
    assert found == datetime.fromisoformat(f"2026-05-01T{since}Z")


def test_of_several_processes_the_one_counts_that_may_hold_the_oldest_message() -> None:
    pods = [pod(running(THIRD), running(SECOND)), pod(running(FOURTH))]
    assert holds_since(pods) == datetime.fromisoformat("2026-05-01T01:59:55Z")
    assert holds_since([pod(startTime=SECOND)]) == datetime.fromisoformat("2026-05-01T01:59:55Z")
    assert holds_since([]) is None


@pytest.mark.parametrize(
    ("containers", "is_first"),
    [
        pytest.param([running(THIRD), running(SECOND)], True, id="all run"),
        pytest.param([running(THIRD) | {"restartCount": 1}, running(SECOND)], False, id="one was restarted in place"),
        pytest.param([running(SECOND), ended(THIRD)], False, id="one has ended"),
        pytest.param([running(SECOND), waiting()], False, id="one may have been restarted"),
        pytest.param([], False, id="the kubelet has reported no container"),
    ],
)
def test_a_pod_is_in_its_first_run_while_all_its_containers_are(containers: list[Json], *, is_first: bool) -> None:
    assert in_first_run([pod(*containers)]) == ({"p": 30} if is_first else {})


def test_pods_connect_from_their_own_addresses_or_from_those_of_their_nodes() -> None:
    status: Json = {
        "podIP": "10.1.0.7",
        "podIPs": [{"ip": "10.1.0.7"}, {"ip": "fd00::7"}],
        "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}],
    }

    assert connects_from([pod(**status), pod()]) == {"10.1.0.7", "fd00::7", "192.0.2.1", "2001:db8::1"}
