"""The state of the model in which a case begins, and what its recoveries and jobs are called there."""

from tests.chaos.cases import Case, Trouble
from tests.chaos.conformance import Conformance
from tests.chaos.scenario import CHOSEN, Scenario
from tests.model.state import OLD, Job, JobStatus, Message, Stamp, State, Status, beginning, in_order

_HELD: int = 20
_WAITING: int = 21
"""Messages of no listed job: in `unacked`, and in the list."""

_RESTORED = ("left-1", "left-2", "poison-1", "poison-2")
"""What is compared of a quarantine that is put back: entries of `unacked`, then messages of the list."""

_NETWORK = {Trouble.CUT, Trouble.LOST_ANSWER, Trouble.SLOW, Trouble.LATE, Trouble.ROTATED}
_CANCELLED = {Trouble.CANCEL, Trouble.OVERTAKEN}
_REMOVED = {Trouble.REMOVED, Trouble.REMOVED_LATE}


def conformance(case: Case, scenario: Scenario) -> Conformance:
    """Return what follows the model through a case that is over."""
    recoveries = {scenario.uid: 0}
    if scenario.former:
        recoveries |= {scenario.former: 1}
    elif scenario.earlier:
        recoveries |= {scenario.earlier: 1}
    elif case.trouble in _REMOVED:
        recoveries = {scenario.uid: 1}  # it was over before it was to be removed
    start = _restoring() if scenario.earlier else _taking(scenario, recoveries=max(recoveries.values()) + 1)
    start = _taking_none(start, case) if case.restarts or case.redelivers else start
    jobs = {
        name: number
        for number, job in enumerate(scenario.listed)
        if job.document and not (case.every_queue and job.document["status"] == "pending")  # listed for another queue
        for name in (job.label, job.key)
    }
    return Conformance(
        start=start._replace(
            autoscales=scenario.stateful,
            cancels=int(case.trouble in _CANCELLED),
            deletions=int(case.trouble is Trouble.DELETE),
            removals=int(case.trouble in _REMOVED),
            replacements=int(case.trouble is Trouble.REPLACED),
            failovers=int(case.trouble is Trouble.LOCK_BACK),
            evictions=int(case.trouble is Trouble.LIST_LOST),
        ),
        recoveries=recoveries,
        jobs=jobs,
        every_queue=case.every_queue,
        flaky=case.trouble in _NETWORK,
        unlabelled=case.trouble is Trouble.UNLABELLED,
    )


def _restoring() -> State:
    back = tuple(number for number, name in enumerate(_RESTORED) if name in CHOSEN)
    return in_order(back=back, messages=len(_RESTORED), old=2)._replace(in_order=False)


def _taking_none(start: State, case: Case) -> State:
    """Return the same state of recoveries that take no message.

    One that gives messages back lists no jobs. Of those that another one lists, only the last has no message.
    """
    every = tuple(range(len(start.statuses)))
    queued = tuple(job._replace(status="done") for job in start.jobs[:-1])
    return start._replace(
        takes_none=every,
        redelivers=every if case.redelivers else (),
        restarts=every if case.restarts else (),
        jobs=() if case.redelivers else (*queued, *start.jobs[-1:]),
    )


def _taking(scenario: Scenario, *, recoveries: int) -> State:
    unstamped: Stamp = "none"
    statuses = [_status(scenario, number) for number in range(len(scenario.listed))]
    jobs = tuple(Job(status, OLD, (unstamped,) * recoveries) for status in statuses)
    pending = [number for number, job in enumerate(jobs) if job.status == "pending"]
    unacked = tuple(Message(OLD, number) for number in (*pending[1:], _HELD))
    return beginning(old=0)._replace(
        statuses=(Status(),) * recoveries,
        finalizers=(False,) * recoveries,
        runs=beginning(operators=(recoveries - 1,)).runs,
        jobs=jobs,
        unacked=unacked,
        queue=(Message(OLD, _WAITING),),
        sent=(*unacked, Message(OLD, _WAITING)),
    )


def _status(scenario: Scenario, number: int) -> JobStatus:
    """Return what a job's document says; a written-out one has none, and is left alone by the model."""
    document = scenario.listed[number].document
    found = "done" if document is None else document["status"]
    return "failed" if found == "failed" else "pending" if found == "pending" else "done"
