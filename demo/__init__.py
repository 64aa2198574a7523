"""`python -m demo`: a stuck queue, the usual attempts to fix it, and one QueueRecovery, on real parts."""
