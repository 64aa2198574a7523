"""Freeze listed jobs: record in their run what each looked like when nothing ran."""

from collections.abc import Mapping

from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.own_keys import SEEN_FIELD
from queue_recovery.broker.run.record import read_seen, write_seen
from queue_recovery.broker.run.script import forged, run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Run, SeenJob

_BATCH = 500
"""Jobs that one script records at most."""


async def freeze(db: Database, run: Run, seen: Mapping[str, SeenJob | None]) -> Mapping[str, SeenJob | None]:
    """Record each job, by key, unless it is recorded already; return what is recorded.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`.
    """
    record = db.own.run(run.uid)
    recorded: dict[str, SeenJob | None] = {}
    jobs = list(seen)
    for keys in (jobs[first : first + _BATCH] for first in range(0, len(jobs), _BATCH)):
        words = [word for key in keys for word in (SEEN_FIELD + key, write_seen(seen[key]))]
        _, *answer = await run_script(db, Script.FREEZE, [record], [run.uid, *words])
        try:
            recorded |= {key: read_seen(value) for key, value in zip(keys, answer, strict=True)}
        except ValueError:
            raise forged(record) from None
    return recorded
