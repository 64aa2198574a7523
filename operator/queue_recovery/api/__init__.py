"""The two resources, as models, and everything that a reader of their YAML meets."""
