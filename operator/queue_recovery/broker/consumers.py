"""Who waits for messages in a database, as CLIENT LIST tells it."""

import asyncio

from queue_recovery.recovery.ports import Consumer

_AT_ONCE = 200
"""Connections that are looked at between two turns of the event loop."""


async def consumers(client_list: bytes, database: int) -> list[Consumer]:
    """Return the connections to a database whose last command was BRPOP, as kombu's workers send it all the time.

    What they wait for is not told: a consumer of another queue looks the same (`_brpop_start` in
    `kombu/transport/redis.py`; the fields are those of https://redis.io/docs/latest/commands/client-list/).
    """
    found = []
    for number, line in enumerate(client_list.splitlines(), 1):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)  # others go on meanwhile: a server may have ten thousand connections
        if b" cmd=brpop " not in line:
            continue
        fields = dict(word.partition("=")[::2] for word in line.decode(errors="replace").split(" "))
        if fields.get("cmd") == "brpop" and fields.get("db") == str(database):
            address = fields.get("addr", "").rpartition(":")[0].strip("[]")
            found.append(Consumer(id=fields.get("id", ""), address=address, age_seconds=int(fields.get("age", 0))))
    return found
