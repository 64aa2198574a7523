"""`python -m demo`: a stuck queue, what people try, and one QueueRecovery, on a real control plane and broker."""
