"""The two resources as models, with their reasons, conditions and metrics."""
