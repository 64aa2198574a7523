"""Who waits for messages in a database, as CLIENT LIST tells it. Pure."""

from queue_recovery.recovery.ports import Consumer


def consumers(client_list: str, database: int) -> list[Consumer]:
    """Return the connections to a database whose last command was BRPOP, as kombu's workers send it all the time.

    What they wait for is not told: a consumer of another queue looks the same (`_brpop_start` in
    `kombu/transport/redis.py`; the fields are those of https://redis.io/docs/latest/commands/client-list/).
    """
    found = []
    for line in client_list.splitlines():
        fields = dict(word.partition("=")[::2] for word in line.split(" "))
        if fields.get("cmd") == "brpop" and fields.get("db") == str(database):
            address = fields.get("addr", "").rpartition(":")[0].strip("[]")
            found.append(Consumer(id=fields.get("id", ""), address=address, age_seconds=int(fields.get("age", 0))))
    return found
