"""The way of a message in a run: locked, taken, sorted, enqueued again, closed; `record.py` reads what Redis says."""
