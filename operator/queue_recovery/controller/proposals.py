"""Proposes a recovery for each incident of one target: suspended, complete, and once.

The incident is in the status, with its time, before the recovery is created, and the recovery's name follows from it.
So a process that dies between the two leaves nothing that the next one would create again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.stuck import PROPOSED_FOR
from queue_recovery.api.target import QueueSpec, QueueTargetSpec, QueueTargetStatus
from queue_recovery.controller.logs import fields, place_of
from queue_recovery.controller.proposal_writer import ProposalWriter, proposal_body
from queue_recovery.controller.recovery_outline import RecoveryOutline, outline_of
from queue_recovery.controller.stuck_watch import Findings, StuckWatch
from queue_recovery.diagnosis.fingerprint import normalised
from queue_recovery.diagnosis.proposal import curable, proposal_name, proposed, with_proposal
from queue_recovery.diagnosis.stuck_memory import Told
from queue_recovery.diagnosis.stuck_rules import Finding
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.evidence import diagnose_messages, has_lost_errors
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.transient import is_retry_enough
from queue_recovery.recovery.wording import named

_LOG = logging.getLogger(__name__)

_AT_ONCE: Final = 5
"""Requests and diagnoses of one check: an outage may strand messages of a hundred queues."""

_DIAGNOSED_FOR: Final = timedelta(minutes=5)
"""How long a diagnosis counts, as that of a recovery that is held."""

_MOST_REPORTED: Final = 10
"""Different refusals that are reported: an admission webhook may answer with any text."""

_LOOKED_AT: Final = 100
"""Messages whose results are read."""

_NAMED: Final = 2

_SOON: Final = "A recovery that cures it is proposed at one of the next looks"

Outlines = Callable[[str], Sequence[RecoveryOutline]]
"""Returns the recoveries of a namespace that are not finished, and the proposals that nobody has started."""


@dataclass(frozen=True, kw_only=True)
class CheckedTarget:
    """A target while it is checked."""

    namespace: str
    name: str
    spec: QueueTargetSpec
    stored: QueueTargetStatus
    """What its status says before this check."""
    environment: Environment

    @property
    def about(self) -> Mapping[str, str]:
        """Its fields in the log."""
        return fields(self.namespace, target=self.name)

    def is_stored(self, incident: "_Incident") -> bool:
        """Tell whether the status has the incident, so that every process gives its proposal the same name."""
        return any(
            queue.name == incident.queue.name
            and any(one.reason == incident.finding.reason and one.since == incident.told.since for one in queue.stuck)
            for queue in self.stored.queues
        )


@dataclass(frozen=True, kw_only=True)
class _Incident:
    """A cause that a recovery cures, and that has no proposal."""

    queue: QueueSpec
    finding: Finding
    told: Told
    spec: QueueRecoverySpec
    """Of the recovery that cures it."""


@dataclass(frozen=True)
class _Diagnosed:
    at: datetime
    found: Diagnosis | None
    note: str
    """Why nothing is proposed; empty: something is."""


@dataclass
class Proposals:
    """The proposals of one target. What is in memory saves work, and events: the status has what counts."""

    writer: ProposalWriter
    outlines: Outlines
    refused: Callable[[str], None]
    """Takes why the API server refuses a proposal, once for each reason."""
    _diagnosed: dict[str, _Diagnosed] = field(default_factory=dict, init=False)
    """Of retry loops, by queue."""
    _reported: set[str] = field(default_factory=set, init=False)
    """What has kept it from proposing, since it has last proposed or had nothing to propose."""
    _checks: int = field(default=0, init=False)
    _left: int = field(default=0, init=False)
    """How many requests and diagnoses this check may still make."""

    async def propose(self, target: CheckedTarget, watch: StuckWatch, found: Findings) -> None:
        """Propose recoveries for what a watch has found, and have it tell of them; never raises."""
        self._checks, self._left = self._checks + 1, _AT_ONCE
        self._look_at_others(target, watch)
        incidents = list(self._incidents(target, watch, found))
        if not incidents:
            self._reported.clear()
        for incident in incidents:
            await asyncio.sleep(0)
            try:
                told = await self._decide(target, incident)
            except RecoveryError as error:
                self._left = 0  # the next one would be refused too
                if error.reason != Reason.PROPOSAL_REFUSED:
                    continue
                if self._is_new(error.message):
                    self.refused(error.message)
                note = f"No recovery could be proposed: see the event {Reason.PROPOSAL_REFUSED}"
                told = replace(incident.told, instead=f"{incident.finding.advice}. {note}")
            except Exception as error:  # noqa: BLE001  # the target is checked all the same
                message = f"proposing met an unexpected {place_of(error)}. Please report it"
                if self._is_new(message):
                    _LOG.error("%s", message, extra=target.about)
                continue
            watch.tell(incident.queue.name, incident.finding.reason, told)
        stuck = watch.stuck
        self._diagnosed = {
            queue: one
            for queue, one in self._diagnosed.items()
            if any(cause.reason == Reason.RETRY_LOOP for cause in stuck.get(queue, ()))
        }

    def _is_new(self, message: str) -> bool:
        """Tell whether this was not reported yet; names and numbers in it may be others each time."""
        what = normalised(message)
        if what in self._reported or len(self._reported) >= _MOST_REPORTED:
            return False
        self._reported.add(what)
        return True

    def _incidents(self, target: CheckedTarget, watch: StuckWatch, found: Findings) -> Iterator[_Incident]:
        """Yield the incidents of all queues; each check begins with another queue, because it may not come to all."""
        queues = target.spec.queues
        first = self._checks % len(queues)
        for queue in [*queues[first:], *queues[:first]]:
            if queue.name not in found:
                continue
            told = watch.told(queue.name)
            for finding in curable(found[queue.name], told.keys()):
                spec = proposed(finding, target.spec.diagnosis.stuck, target=target.name, queue=queue.name)
                if spec is not None and told[finding.reason].proposal is None:
                    yield _Incident(queue=queue, finding=finding, told=told[finding.reason], spec=spec)

    def _recoveries(self, target: CheckedTarget, queue: str) -> Sequence[RecoveryOutline]:
        return [one for one in self.outlines(target.namespace) if one.recovers(target.name, queue)]

    def _others(self, target: CheckedTarget, queue: str) -> str:
        """Return what is told while somebody recovers a queue; empty: nobody does."""
        names = [f'"{one.name}"' for one in self._recoveries(target, queue) if not one.proposed_for]
        if not names:
            return ""
        are, do, them = ("is", "that one does", "it") if len(names) == 1 else ("are", "these do", "them")
        return (
            f"No recovery is proposed while QueueRecovery {named(sorted(names), most=_NAMED)} {are} open. If {do} not "
            f"cure this, end or delete {them}"
        )

    def _look_at_others(self, target: CheckedTarget, watch: StuckWatch) -> None:
        """Tell of recoveries that somebody has open as they are now, also of causes that this look has not found."""
        for queue in watch.stuck:
            others = self._others(target, queue)
            for reason, told in watch.told(queue).items():
                if told.others:
                    watch.tell(queue, reason, replace(told, others=others))

    async def _decide(self, target: CheckedTarget, incident: _Incident) -> Told:
        """Return what is told of an incident from now on; raises RecoveryError."""
        reason = incident.finding.reason
        if open_ones := self._others(target, incident.queue.name):
            return replace(incident.told, others=open_ones)
        if reason == Reason.RETRY_LOOP and target.spec.policy.diagnosis == "Hold":
            note = await self._why_not(target, incident)
            if note is None:
                return replace(incident.told, instead=f"{_SOON}, unless the errors are transient")
            if note:
                return replace(incident.told, instead=note)
        if not target.is_stored(incident) or self._left <= 0:
            return replace(incident.told, instead=_SOON)
        self._left -= 1
        name = proposal_name(target.name, incident.queue.name, reason, incident.told.since)
        for one in self._recoveries(target, incident.queue.name):
            if one.proposed_for == reason and one.name != name:
                return await self._adopted(target, incident, one.name)
        return await self._created(target, incident, name)

    async def _why_not(self, target: CheckedTarget, incident: _Incident) -> str | None:
        """Return why a retry helps; empty: it does not, or nothing says so; None: not known yet."""
        now, messages = target.environment.now(), incident.finding.messages
        known = self._diagnosed.get(incident.queue.name)
        if known is not None and now - known.at < _DIAGNOSED_FOR:
            return known.note
        if not messages or self._left <= 0:  # a message is invisible while its task runs
            return (known.note or None) if known is not None else None
        self._left -= 1
        found = await diagnose_messages(
            target.environment,
            target.spec,
            incident.queue,
            messages[:_LOOKED_AT],
            lambda what, error: _LOG.error("%s: unexpected %s", what, place_of(error), extra=target.about),
        )
        if known is not None and known.found is not None and found is not None and has_lost_errors(found, known.found):
            found = known.found  # the outage that makes tasks fail may be that of their results, too
        note = ""
        if found is not None and is_retry_enough(found):
            errors = named([one.exception or "a class that is not shown" for one in found.errors], most=_NAMED)
            note = f"The errors are transient ({errors}): a retry helps, so wait; no recovery is needed"
        self._diagnosed[incident.queue.name] = _Diagnosed(now, found, note)
        return note

    async def _adopted(self, target: CheckedTarget, incident: _Incident, name: str) -> Told:
        """Return that an earlier proposal is the one for this incident, if it does what would be proposed now."""
        found = await self.writer.read(target.namespace, name)
        if found is None:
            return replace(incident.told, instead=_SOON)  # the watch has not reported its deletion yet
        if _does(found, incident.spec):
            return with_proposal(incident.told, incident.finding.reason, name)
        note = f'QueueRecovery "{name}" was proposed before and does something else. Delete it to have one that fits'
        return replace(incident.told, instead=note)

    async def _created(self, target: CheckedTarget, incident: _Incident, name: str) -> Told:
        """Create the proposal, unless an earlier process has."""
        finding, account = incident.finding, self.writer.account
        body = proposal_body(name, incident.spec, cause=finding.reason, evidence=finding.seen, account=account)
        if not await self.writer.create(target.namespace, body):
            found = await self.writer.read(target.namespace, name)
            if found is None:
                return replace(incident.told, instead=_SOON)  # deleted just now
            if not _is_for(found, incident):
                raise RecoveryError(
                    Reason.PROPOSAL_REFUSED,
                    f'QueueRecovery "{name}" exists, but the operator did not propose it for this cause. Delete it',
                )
        self._reported.clear()
        return with_proposal(incident.told, finding.reason, name)


def _does(body: Mapping[str, Any], spec: QueueRecoverySpec) -> bool:
    """Tell whether a recovery does the same as another one."""
    try:
        return QueueRecoverySpec.model_validate(body["spec"]).fixed_fields() == spec.fixed_fields()
    except ValidationError:
        return False


def _is_for(body: Mapping[str, Any], incident: _Incident) -> bool:
    """Tell whether a recovery was proposed for the cause, the queue and the target."""
    found = outline_of(body)
    cause = body["metadata"].get("labels", {}).get(PROPOSED_FOR, "")
    return bool(cause == incident.finding.reason and found[1:3] == (incident.spec.target_ref.name, incident.queue.name))
