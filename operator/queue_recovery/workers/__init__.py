"""Deployments: see them, scale them to 0 with a note of how to bring them back, and bring them back.

`deployments.KubernetesWorkers` is what the steps know as `recovery.ports.Workers`.
"""
