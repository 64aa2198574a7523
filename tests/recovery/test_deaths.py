"""The process dies at each call of a recovery, one after the other; the next process finishes the work."""

from tests.recovery.fakes import Case


async def finished_after_death(number: int) -> tuple[Case, bool]:
    """Return a finished recovery whose process died at a call, and whether it did."""
    case = Case(jobs=["a", "b"])
    case.broker.add("old-a", "old-b", "of no job")
    has_died = await case.dies_at(number)
    await case.reaches("Succeeded")
    return case, has_died


async def test_after_a_death_at_any_call_every_job_is_enqueued_once_and_nothing_is_held() -> None:
    number, has_died = 0, True
    while has_died:
        number += 1
        case, has_died = await finished_after_death(number)

        assert case.broker.queued() == [case.task_id("a"), case.task_id("b")], number
        assert case.jobs.statuses == {"a": "pending", "b": "pending"}, number
        assert case.status.messages is not None
        assert case.status.messages.quarantined == 3, number
        assert case.workers.replicas == {"worker": 2}, number
        assert case.workers.deployments["worker"].note is None, number
        assert case.broker.locks == {}, number
    assert number > 40
