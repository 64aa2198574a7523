"""What was taken: listed, counted, restored to its queue, and unlinked when its retention is over."""
