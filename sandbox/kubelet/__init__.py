"""A stand-in for the kubelet: pods are local processes, everything else about them is real.

It is a test double of the kubelet and of nothing else. It registers one node, binds every pod to it (there is no
scheduler) and does to a pod what a kubelet does: starts its containers, probes and restarts them, reports their status,
serves their logs, ends them within their grace period and only then lets the pod go.

What it does not do: namespaces of any kind, volumes (mounts are ignored), resource limits, names of Services,
`kubectl exec` and `port-forward`, gRPC probes, sidecar containers, preStop and postStart hooks. A container that has a
ServiceAccount token on a cluster finds it here in a kubeconfig, which KUBECONFIG names. Pods share the machine's
network, each with a loopback address of its own: a server must listen on its pod's address (`status.podIP`) to share a
port with another pod.
"""
