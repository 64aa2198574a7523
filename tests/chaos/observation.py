"""What there is: the broker, the jobs' documents and the Deployment, looked at once."""

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from sandbox.api import Json
from tests.chaos.effects import PRODUCED
from tests.chaos.scenario import SCALER, SEP, Scenario

OPERATOR = "queuerecovery.dev:"
"""What the operator's own keys begin with."""
QUARANTINE, QUEUED, RUN = "quarantine", "in the queue", "run"
"""Where a message can be."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One moment."""

    places: dict[str, list[str]]
    """Where each message of the queue is, by its task id (or text, if it has none); it may be in several places."""
    texts: dict[str, bytes]
    """What it looks like there, for what stays where it is."""
    produced: list[str]
    """Ids of the messages that were produced while the operator worked."""
    run: dict[str, str]
    """The recovery's record in the broker."""
    former: dict[str, str]
    """The record of the one before it, if there was one."""
    source: dict[str, str]
    """The record of the one that took the queue's messages: itself, or an earlier one."""
    keys: dict[str, str]
    """All keys of the broker, with their types."""
    documents: dict[str, Json]
    """The jobs', by their ids."""
    deployment: Json
    """The workers' Deployment or StatefulSet."""
    scaled_object: Json
    """What KEDA scales them by; empty: it does not."""
    others: dict[str, object]
    """`Scenario.others`, as they are now."""
    entries: dict[str, tuple[bytes, float | None]]
    """`unacked`, with the times."""


async def observe(scenario: Scenario) -> Observation:
    """Look at everything."""
    redis = scenario.redis
    names = _texts(await redis.keys("*"))
    keys = dict(zip(names, _texts([await redis.type(name) for name in names]), strict=True))
    places: defaultdict[str, list[str]] = defaultdict(list)
    texts: dict[str, bytes] = {}
    taken_by = [scenario.source, *([scenario.former_run] if scenario.former else [])]
    quarantines = tuple(f"{OPERATOR}quarantine:{uid}:" for uid in taken_by)
    for key, kind in keys.items():
        if key.startswith("ran:"):
            for task in _texts(await redis.lrange(key, 0, -1)):
                places[task].append(RUN)
            continue
        for name, where, text in await _messages(redis, key, kind, quarantines):
            places[name].append(where)
            texts[name] = text
    times = dict(cast("list[tuple[bytes, float]]", await redis.zrange("unacked_index", 0, -1, withscores=True)))
    return Observation(
        places=dict(places),
        texts=texts,
        produced=_texts(await redis.lrange(PRODUCED, 0, -1)),
        run=await _record(redis, scenario.run),
        former=await _record(redis, scenario.former_run) if scenario.former else {},
        source=await _record(redis, scenario.source),
        keys=keys,
        documents={job.label: await scenario.job(job.label) for job in scenario.listed if job.document},
        deployment=await scenario.get(scenario.worker_kind, "worker"),
        scaled_object=await scenario.get("ScaledObject", SCALER) if scenario.stateful else {},
        others={key: await redis.dump(key) for key in scenario.others},
        entries={tag.decode(): (text, times.get(tag)) for tag, text in (await _hash(redis, "unacked")).items()},
    )


async def _messages(redis: Redis, key: str, kind: str, quarantines: tuple[str, ...]) -> list[tuple[str, str, bytes]]:
    """Return the messages of the queue in a key: name, place and text of each."""
    where = QUARANTINE if key.startswith(quarantines) else QUEUED
    if kind == "list" and (where is QUARANTINE or key == "work" or key.startswith(f"work{SEP}")):
        return [(_name(text), where, text) for text in cast("list[bytes]", await redis.lrange(key, 0, -1))]
    if kind == "hash" and (where is QUARANTINE or key == "unacked"):
        entries = [(tag, text, _entry(text)) for tag, text in (await _hash(redis, key)).items()]
        return [
            (str(entry[0]["headers"]["id"]), where, text) if entry else (tag.decode(), where, text)
            for tag, text, entry in entries
            if where is QUARANTINE or (entry and entry[2] == "work")
        ]
    return []


async def names_in(redis: Redis, key: str) -> frozenset[str]:
    """Return the names of the messages in a list."""
    return frozenset(_name(text) for text in cast("list[bytes]", await redis.lrange(key, 0, -1)))


async def _record(redis: Redis, run: str) -> dict[str, str]:
    record = await _hash(redis, f"{OPERATOR}run:{run}")
    return {name.decode(): value.decode() for name, value in record.items()}


async def _hash(redis: Redis, key: str) -> dict[bytes, bytes]:
    return cast("dict[bytes, bytes]", await redis.hgetall(key))


def _texts(found: object) -> list[str]:
    return [one.decode() for one in cast("list[bytes]", found)]


def _name(text: bytes) -> str:
    try:
        name: str = json.loads(text)["headers"]["id"]
    except ValueError:
        return text.decode()
    return name


def _entry(text: bytes) -> Any:  # noqa: ANN401  # JSON
    try:
        return json.loads(text)
    except ValueError:
        return None
