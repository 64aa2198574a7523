"""Workers: scale them to 0, note how to scale them back, and scale them back; KEDA is paused meanwhile.

`kubernetes_workers.KubernetesWorkers` is what the steps know as `recovery.ports.Workers`.
"""
