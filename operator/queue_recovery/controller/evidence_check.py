"""The check of what a target's `diagnosis` names: its rules, and Celery's results."""

import asyncio
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.controller.logs import place_of
from queue_recovery.controller.target_conditions import NO_BROKER, Verdict, evidence_verdict
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.evidence_sources import SOURCE_SECONDS, invalid_rules, read_results
from queue_recovery.recovery.origins import of_results
from queue_recovery.recovery.ports.environment import Environment

_NO_TASK: Final = "queue-recovery.check"
"""An id of no task: Celery's are UUIDs."""


async def check_evidence(spec: QueueTargetSpec, environment: Environment, *, is_broker_usable: bool) -> Verdict | None:
    """Return the condition `EvidenceReadable`; None: `diagnosis` has neither `results` nor `rules`. Raises nothing.

    Args:
        spec: of the target.
        environment: its namespace.
        is_broker_usable: whether results in the broker's database can be read at all.
    """
    results = spec.diagnosis.results
    if results is None and not spec.diagnosis.rules:
        return None
    verdict: Verdict | None = None
    if results is not None:
        is_elsewhere = results.url_secret_ref is not None
        verdict = await _check_results(spec, environment) if is_elsewhere or is_broker_usable else NO_BROKER
    return evidence_verdict(await invalid_rules(spec), verdict)


async def _check_results(spec: QueueTargetSpec, environment: Environment) -> Verdict:
    try:
        async with asyncio.timeout(SOURCE_SECONDS):
            await read_results(environment, spec, [_NO_TASK])
    except TimeoutError:
        silent = RecoveryError(
            Reason.BROKER_UNAVAILABLE,
            f"Celery's results could not be read within {SOURCE_SECONDS:.0f} s. Check that their server runs, and that "
            "network policies let the operator reach it",
        )
        return "False", silent.reason, of_results(silent, spec).message
    except RecoveryError as error:
        return "False", error.reason, error.message
    except Exception as error:  # noqa: BLE001  # any that a driver raises; nothing of a recovery depends on it
        return "False", Reason.INTERNAL_ERROR, f"spec.diagnosis.results: unexpected {place_of(error)}. Please report it"
    return "True", Reason.EVIDENCE_READABLE, "Celery's results can be read"
