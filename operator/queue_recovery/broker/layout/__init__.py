"""Where Celery and the operator store what in Redis, and how to read it: keys, envelopes, bindings, `unacked`."""
