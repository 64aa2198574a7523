"""A stand-in for the kubelet: pods are local processes, everything else about them is real.

It registers one node, binds every pod to it (there is no scheduler) and does what a kubelet does: it starts containers,
probes and restarts them, reports their status, serves their logs, ends them within their grace period and only then
deletes the pod.

It does not support namespaces of any kind, volumes (mounts are ignored), resource limits, names of Services,
`kubectl exec` and `port-forward`, gRPC probes, sidecar containers, preStop and postStart hooks. A container that would
have a ServiceAccount token on a cluster gets it in a kubeconfig, which KUBECONFIG names. Pods share the machine's
network, each with its own loopback address: a server must listen on its pod's address (`status.podIP`) to share a port
with another pod.
"""
