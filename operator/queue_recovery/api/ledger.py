"""The ledger of a namespace: what its recoveries have done, in a ConfigMap that outlives them."""

import json
from hashlib import sha256
from typing import Final, Literal

from pydantic import Field

from queue_recovery.api.base import Model, Note, Timestamp
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Quarantine

LEDGER: Final = "queue-recovery-ledger"
"""Name of the ConfigMap."""

_DIGITS: Final = 16
_MOST_OF_NAME: Final = 200
"""A ConfigMap's key has at most 253 characters."""


class LedgerEntry(Model):
    """One recovery of a name and a spec, as the ledger remembers it."""

    uid: str = Field(max_length=64, description="UID of the recovery that ran.")
    start_time: Timestamp = Field(
        description="When it was about to stop its workers; the oldest entry is removed first."
    )
    executed: bool = Field(
        default=False,
        description="Whether it was about to take, put back or enqueue messages, or to restart workers. Only then is a "
        "copy refused.",
    )
    phase: Literal["Succeeded", "Failed", "Cancelled"] | None = Field(
        None, description="How it ended; left out while it runs, and if its resource was removed by force."
    )
    reason: str = Field("", max_length=128, description="Why it ended so.")
    message: Note = Field("", description="The start of its final message.")
    completion_time: Timestamp | None = Field(None, description="When it ended.")
    quarantine: Quarantine | None = Field(None, description="Where its messages are stored, for `restoreFrom`.")


def ledger_key(name: str, spec: QueueRecoverySpec) -> str:
    """Return the key of a recovery's entry: its name, and a digest of the name and of the spec's fixed fields.

    Fields with their default do not count, so a later version may add fields and still finds its entries.
    """
    digest = sha256(json.dumps([name, spec.fixed_fields()], sort_keys=True).encode()).hexdigest()
    return f"{name[:_MOST_OF_NAME]}.{digest[:_DIGITS]}"
