"""All knowledge of Celery on Redis, in the order in which a message meets it.

`connection/` reaches the server; `layout/` says what is stored where; `run/` locks a queue, takes its messages and
enqueues jobs; `quarantine/` lists, restores and expires what was taken; `inspection/` counts without changing anything.
The Lua scripts of all of them are in `scripts/`.
"""

from queue_recovery.broker.redis_broker import RedisBroker

__all__ = ["RedisBroker"]
