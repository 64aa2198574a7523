"""A GitOps tool that owns the replicas is named before the drain, with its setting; no recovery is refused for it."""

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.controller.recovery_events import events_between
from queue_recovery.recovery.plan import plan
from tests.recovery.fakes import Case


def applied_by(*managers: str, **spec: object) -> Case:
    """Return a recovery of one message, whose worker these field managers have applied with its replicas."""
    case = Case(spec)
    case.broker.add("old")
    case.workers.applied_by = managers
    return case


SNIPPETS = {
    "argocd-controller": "jsonPointers: [/spec/replicas]}] and add RespectIgnoreDifferences=true",
    "kustomize-controller": "remove spec.replicas from the Deployment",
    "helm-controller": "or from the values of the HelmRelease",
}


@pytest.mark.parametrize("manager", SNIPPETS)
async def test_a_dry_run_and_a_warning_name_the_tool_with_its_snippet(manager: str) -> None:
    case = applied_by(manager, suspend=True)

    await case.reconciled()

    assert case.status.plan is not None
    assert [(one.name, one.manager) for one in case.status.plan.replica_owners] == [("worker", manager)]
    start = f'field manager "{manager}" sets the replicas of "worker" with each server-side apply'
    assert start in case.status.message
    assert SNIPPETS[manager] in case.status.message
    (warning,) = [one for one in events_between(QueueRecoveryStatus(), case.status) if one.type == "Warning"]
    assert (warning.reason, warning.note.startswith(start)) == (Reason.REPLICAS_APPLIED, True)
    assert case.workers.replicas == {"worker": 2}


async def test_the_recovery_runs_all_the_same() -> None:
    await applied_by("argocd-controller").reaches("Succeeded")


async def test_what_applies_only_when_somebody_calls_it_is_not_warned_about() -> None:
    case = applied_by("kubectl", "deploy.sh")

    await plan(case.recovery())

    assert case.status.plan is not None
    assert case.status.plan.replica_owners == []


async def test_a_recovery_that_stops_no_worker_itself_warns_of_nobody() -> None:
    case = applied_by("argocd-controller", restart={"strategy": "Manual"})

    await plan(case.recovery())

    assert case.status.plan is not None
    assert case.status.plan.replica_owners == []
