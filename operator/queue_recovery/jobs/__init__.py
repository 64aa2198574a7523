"""The job store in MongoDB: look jobs up, claim them, and release those that were not enqueued.

The only room that imports PyMongo. `connecting.connect` returns what the steps use as `recovery.ports.JobStore`.
"""
