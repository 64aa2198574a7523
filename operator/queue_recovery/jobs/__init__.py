"""The job store in MongoDB: look jobs up, claim them, and give back what was not enqueued.

The only room that imports PyMongo. `connecting.connect` makes what the steps know as `recovery.ports.JobStore`.
"""
