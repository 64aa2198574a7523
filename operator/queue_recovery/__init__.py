"""An operator that recovers a stuck Celery queue with one YAML file."""
