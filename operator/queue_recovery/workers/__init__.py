"""Deployments: scale them to 0, note how to scale them back, and scale them back.

`deployments.KubernetesWorkers` is what the steps know as `recovery.ports.Workers`.
"""
