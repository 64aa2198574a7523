"""All knowledge of Celery on Redis: keys, envelopes, boundary and quarantine, publishing."""

from queue_recovery.broker.redis_broker import RedisBroker

__all__ = ["RedisBroker"]
