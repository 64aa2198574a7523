"""The Lua scripts, by the names of their files; each begins with its keys, arguments and answers."""

from enum import StrEnum
from functools import cache
from importlib.resources import files


class Script(StrEnum):
    """Scripts that change something: each checks everything, then acts, and writes its marker last."""

    OPEN = "open"
    FREEZE = "freeze"
    MOVE_UNACKED = "move_unacked"
    BOUNDARY = "boundary"
    SORT = "sort"
    REJOIN = "rejoin"
    WRITE_OFF = "write_off"
    COMPLETE = "complete"
    PUSH = "push"
    CLOSE = "close"
    GIVE_BACK_UNACKED = "give_back_unacked"
    REDELIVER = "redeliver"
    RELEASE = "release"
    PUT_BACK_UNACKED = "put_back_unacked"
    STAGE = "stage"
    EXPIRE = "expire"
    DUE = "due"
    PERMISSIONS = "permissions"


class Reading(StrEnum):
    """Scripts that only read: of a large value, the server sends only a part."""

    LIST = "read_list"
    NEWEST = "read_newest"
    HASH = "read_hash"
    FIELDS = "read_fields"
    EACH = "read_each"
    RECORD = "read_record"
    SET = "read_set"
    KINDS = "read_kinds"
    OLDEST = "read_oldest"
    DELIVERED = "read_delivered"
    NEXT = "read_next"


@cache
def text_of(script: Script | Reading) -> str:
    """Return a script's text."""
    return (files("queue_recovery.broker.scripts") / f"{script}.lua").read_text(encoding="utf-8")
