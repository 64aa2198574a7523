"""The operator's process: kopf, the API server, logs, metrics and health. Decides nothing about recoveries."""
