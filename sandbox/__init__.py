"""A real Kubernetes API, real brokers and a real job store on one Linux machine, without root or containers.

`sandbox.cluster.Sandbox` composes all of it; `python -m sandbox` starts it for a person at a terminal.
"""
