"""Looking at queues without changing anything: counts, checks, and what belongs to which queue."""
