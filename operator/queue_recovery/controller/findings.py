"""What a look at a target concludes: each condition's verdict, and one condition for one cause. Pure."""

from collections.abc import Mapping

from queue_recovery.api.conditions import Condition, ConditionStatus, ConditionType, find, set_condition
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetStatus

_WARNINGS = {ConditionType.EVICTION_SAFE, ConditionType.TRANSPORT_VERIFIED}
"""What does not keep a target from being ready."""

_WITH_TLS = {"the broker": "rediss://", "the job store": "tls=true"}
"""How a URL asks for TLS, by server."""

Finding = tuple[ConditionStatus, str, str]
"""Status, reason and message of a condition."""

NO_PERMISSION: Finding = (
    "Unknown",
    Reason.NOT_CHECKED,
    f"not checked: the operator has no permission; see condition {ConditionType.PERMITTED}",
)

BROKER_AWAY: Finding = (
    "Unknown",
    Reason.NOT_CHECKED,
    f"not checked: the broker cannot be used; see condition {ConditionType.BROKER_REACHABLE}",
)


def eviction(policy: str | None) -> Finding:
    """Judge by the broker's `maxmemory-policy`; None: it does not tell."""
    if policy is None:
        return "Unknown", Reason.EVICTION_UNKNOWN, "the broker does not tell its maxmemory-policy"
    if policy == "noeviction":
        return "True", Reason.NO_EVICTION, "the broker never evicts keys"
    message = (
        f"maxmemory-policy is {policy}: under memory pressure the broker may drop queues, unacked "
        "messages and quarantines; set it to noeviction"
    )
    return "False", Reason.EVICTION_POSSIBLE, message


def transport(transports: Mapping[str, str | None], *, servers: int) -> Finding:
    """Judge by how the operator speaks to those of the target's servers whose URLs it could read."""
    off = {server: how for server, how in transports.items() if how is not None}
    if off:
        hows = " and ".join(f"to {server} {how}" for server, how in off.items())
        remedies = " and ".join(f"{_WITH_TLS[server]} for {server}" for server in off)
        message = (
            f"the operator speaks {hows}: a host on the way can read and change what is sent. Use {remedies}, and name "
            "the authority by caSecretRef"
        )
        return "False", Reason.NOT_VERIFIED, message
    if len(transports) < servers:
        return "Unknown", Reason.VERIFICATION_UNKNOWN, "a URL cannot be used yet: see the other conditions"
    return "True", Reason.VERIFIED, "certificates and hosts are checked"


def by_one_cause(found: Mapping[ConditionType, Finding]) -> dict[ConditionType, Finding]:
    """Let `Permitted` alone say that rights are missing, and add `Ready`.

    What could not be looked at without rights is Unknown: nothing is known of the servers.
    """
    findings = dict(found)
    denied = [kind for kind, (_, reason, _) in findings.items() if reason == Reason.FORBIDDEN]
    if denied and ConditionType.PERMITTED not in denied:
        # A policy, or rights that went a moment ago: the review of rights does not know of it.
        findings[ConditionType.PERMITTED] = findings[denied[0]]
    for kind in denied:
        if kind is not ConditionType.PERMITTED:
            findings[kind] = NO_PERMISSION
    if findings[ConditionType.BROKER_REACHABLE] == NO_PERMISSION:
        findings[ConditionType.EVICTION_SAFE] = NO_PERMISSION
    if denied and findings[ConditionType.TRANSPORT_VERIFIED][0] == "Unknown":
        findings[ConditionType.TRANSPORT_VERIFIED] = NO_PERMISSION
    bad = [f for kind, f in findings.items() if f[0] == "False" and kind not in _WARNINGS]
    findings[ConditionType.READY] = bad[0] if bad else ("True", Reason.USABLE, "queues of this target can be recovered")
    return findings


def conditions_of(
    findings: Mapping[ConditionType, Finding], old: QueueTargetStatus, *, generation: int, now: str
) -> list[Condition]:
    """Make the conditions; one whose status is that of the old status keeps its time of transition."""
    conditions: list[Condition] = []
    for kind, (status, reason, message) in findings.items():
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
