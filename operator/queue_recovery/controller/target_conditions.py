"""The conditions of a target, one for each cause. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from queue_recovery.api.conditions import Condition, ConditionStatus, ConditionType, find, set_condition
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.recovery.wording import named

_WARNINGS: Final = {
    ConditionType.EVICTION_SAFE,
    ConditionType.TRANSPORT_VERIFIED,
    ConditionType.STUCK,
    ConditionType.ETAS_VISIBLE,
    ConditionType.RUN_TIMES_ALLOWED,
    ConditionType.EVIDENCE_READABLE,
}
"""A target may be ready no matter what these say."""

_WITH_TLS: Final = {"the broker": "rediss://", "the job store": "tls=true"}
"""How a URL asks for TLS, by server."""

Verdict = tuple[ConditionStatus, str, str]
"""Status, reason and message of a condition."""

NO_PERMISSION: Final[Verdict] = (
    "Unknown",
    Reason.NOT_CHECKED,
    f"not checked: the operator lacks permissions. See the condition {ConditionType.PERMITTED}",
)

NO_BROKER: Final[Verdict] = (
    "Unknown",
    Reason.NOT_CHECKED,
    f"not checked: the broker cannot be used. See the condition {ConditionType.BROKER_REACHABLE}",
)


def eviction_verdict(policy: str | None) -> Verdict:
    """Judge the broker's `maxmemory-policy`; None: the broker does not report it."""
    if policy is None:
        return "Unknown", Reason.EVICTION_UNKNOWN, "the broker does not report its maxmemory-policy"
    if policy == "noeviction":
        return "True", Reason.NO_EVICTION, "the broker never evicts keys"
    message = (
        f"maxmemory-policy is {policy}: under memory pressure the broker may evict queues, unacked messages and "
        "quarantines. Set it to noeviction"
    )
    return "False", Reason.EVICTION_POSSIBLE, message


def transport_verdict(transports: Mapping[str, str | None], *, servers: int) -> Verdict:
    """Judge how the operator connects to the target's servers.

    Args:
        transports: for each server whose URL could be read, what is not verified, such as `without TLS`, or None.
        servers: how many servers the target has.
    """
    unverified = {server: how for server, how in transports.items() if how is not None}
    if unverified:
        connects = " and ".join(f"to {server} {how}" for server, how in unverified.items())
        remedies = " and ".join(f"{_WITH_TLS[server]} for {server}" for server in unverified)
        message = (
            f"the operator connects {connects}, so anyone on the network path can read and change the traffic. "
            f"Use {remedies}, and name the certificate authority in caSecretRef"
        )
        return "False", Reason.NOT_VERIFIED, message
    if len(transports) < servers:
        return "Unknown", Reason.VERIFICATION_UNKNOWN, "a URL cannot be used yet. See the other conditions"
    return "True", Reason.VERIFIED, "the operator verifies certificates and host names"


def evidence_verdict(invalid_rules: Sequence[int], results: Verdict | None) -> Verdict:
    """Judge what a target's `diagnosis` names.

    Args:
        invalid_rules: the numbers of its rules that are not valid.
        results: of Celery's results; None: the target has none.
    """
    bad: list[Verdict] = []
    if invalid_rules:
        named_rules = named([f"spec.diagnosis.rules[{number}]" for number in invalid_rules])
        message = (
            f"{named_rules}: message is no regular expression that the operator can read, so it matches nothing. "
            "Write it in the syntax of Rust's regex, with a backslash before a bracket that is meant literally"
        )
        bad.append(("False", Reason.INVALID_RULE, message))
    if results is not None and results[0] == "False":
        bad.append(results)
    if bad:
        return "False", bad[0][1], ". ".join(message for _, _, message in bad)
    if results is not None and results[0] != "True":
        return results
    return "True", Reason.EVIDENCE_READABLE, "what diagnosis names can be read"


def with_ready(found: Mapping[ConditionType, Verdict]) -> dict[ConditionType, Verdict]:
    """Add `Ready`, and let `Permitted` alone report missing permissions.

    What could not be checked without them is Unknown.
    """
    verdicts = dict(found)
    denied = [kind for kind, (_, reason, _) in verdicts.items() if reason == Reason.FORBIDDEN]
    if _WARNINGS.issuperset(denied):
        denied = []  # it is the evidence's Secret alone, without which recoveries run: its own condition tells of it
    if denied and ConditionType.PERMITTED not in denied:
        # An admission policy, or permissions revoked a moment ago: the review of permissions does not show it.
        verdicts[ConditionType.PERMITTED] = verdicts[denied[0]]
    for kind in denied:
        if kind is not ConditionType.PERMITTED:
            verdicts[kind] = NO_PERMISSION
    if verdicts[ConditionType.BROKER_REACHABLE] == NO_PERMISSION:
        verdicts |= {kind: NO_PERMISSION for kind, verdict in verdicts.items() if verdict == NO_BROKER}
    if denied and verdicts[ConditionType.TRANSPORT_VERIFIED][0] == "Unknown":
        verdicts[ConditionType.TRANSPORT_VERIFIED] = NO_PERMISSION
    bad = [verdict for kind, verdict in verdicts.items() if verdict[0] == "False" and kind not in _WARNINGS]
    verdicts[ConditionType.READY] = bad[0] if bad else ("True", Reason.USABLE, "queues of this target can be recovered")
    return verdicts


def conditions_of(
    verdicts: Mapping[ConditionType, Verdict], old: QueueTargetStatus, *, generation: int, now: str
) -> list[Condition]:
    """Return the conditions; an unchanged status keeps its time of transition."""
    conditions: list[Condition] = []
    for kind, (status, reason, message) in verdicts.items():
        new = Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            observed_generation=generation,
            last_transition_time=now,
        )
        known = find(old.conditions, kind)
        conditions += set_condition([known] if known else [], new)
    return conditions
