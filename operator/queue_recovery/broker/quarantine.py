"""How a person gets quarantined messages back: the commands, written out for one recovery."""

import shlex
from collections.abc import Sequence

from queue_recovery.broker.keys import Layout, quarantine_key
from queue_recovery.broker.run import Record

_REDIS_CLI = 'redis-cli -u "$BROKER_URL"'

_BITE = 100

_UNACKED_SCRIPT = (
    'for _,tag in ipairs(redis.call("HRANDFIELD",KEYS[1],ARGV[1])) do '
    'if redis.call("HSETNX",KEYS[3],tag,redis.call("HGET",KEYS[1],tag))==1 then '
    'redis.call("ZADD",KEYS[4],(redis.call("ZSCORE",KEYS[2],tag) or 1000000000)-1000000000,tag) '
    'redis.call("HDEL",KEYS[1],tag) redis.call("ZREM",KEYS[2],tag) end end return redis.call("HLEN",KEYS[1])'
)
"""Moves entries back with their times, but 31 years earlier: past every visibility timeout, still in their order."""


def commands_to_put_back(record: Record, layout: Layout, queue: str) -> Sequence[str]:
    """Return shell commands that put a run's quarantined messages back into their queue, to be run in this order.

    List messages come out next, before what lies there by then, in the order that they had: the list's right end is
    consumed first (`kombu/transport/redis.py`: `_put`, `_brpop_start`), so each is moved there from the quarantine's
    left end. `unacked` entries go back to `unacked`, and from there into the queue with the restore sweep of any
    worker: at its start, or within some 100 seconds. The queue's workers should be stopped meanwhile, or the first
    ones moved are consumed before the others have followed. Each command may be repeated, and stopped half-way.

    The commands need Redis 6.2 and `$BROKER_URL`.
    """
    commands = []
    # Later sweeps and lower priorities do not matter to each other; within a list the latest sweep goes back first.
    for ending, count in sorted(record.quarantined.items(), key=_sweep, reverse=True):
        source = quarantine_key(record.uid, ending)
        match ending.split(":"):
            case [_, "ready", priority]:
                target = layout.possible_lists(queue)[int(priority)]
                commands.append(
                    f"{_REDIS_CLI} -r {count} LMOVE {_quoted(source)} {_quoted(target)} LEFT RIGHT >/dev/null"
                )
            case _:
                keys = [source, f"{source}_index", layout.unacked, layout.unacked_index]
                commands.append(
                    f"{_REDIS_CLI} -r {-(-count // _BITE)} EVAL {shlex.quote(_UNACKED_SCRIPT)} {len(keys)} "
                    f"{' '.join(map(_quoted, keys))} {_BITE} >/dev/null"
                )
    return commands


def _sweep(quarantined: tuple[str, int]) -> int:
    return int(quarantined[0].partition(":")[0])


def _quoted(key: str) -> str:
    """Quote a key for any POSIX shell, Celery's separator by `printf`."""
    if key.isprintable():
        return shlex.quote(key)
    escaped = "".join(
        chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"\\{byte:03o}" for byte in key.encode()
    )
    return f"\"$(printf '{escaped}')\""
