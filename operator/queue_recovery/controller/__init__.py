"""The operator's process: kopf, the API server, logs, metrics and health.

Nothing here decides about recoveries.
"""
