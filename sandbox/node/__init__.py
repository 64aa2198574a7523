"""A real Kubernetes node on one Linux machine: kubelet, containerd, runc, CNI, kube-proxy, scheduler and CoreDNS.

`sandbox.node.cluster.NodeCluster` starts it with its own control plane, in its own Linux namespaces. It needs root and
Debian's packages (`sandbox.node.packages`); `sandbox.node.images` builds the images of its pods.
"""
