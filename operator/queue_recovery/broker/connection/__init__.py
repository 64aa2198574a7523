"""Reaching the server: its URL, TLS, Sentinels, the commands, and what a failure of theirs means for a recovery."""
