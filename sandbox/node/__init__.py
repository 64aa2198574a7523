"""A real Kubernetes node on one Linux machine: kubelet, containerd, runc, CNI, kube-proxy, scheduler and CoreDNS.

`sandbox.node.cluster.NodeCluster` starts it, with a control plane of its own, in namespaces of its own. It needs root
and Debian's packages (`sandbox.node.packages`); `sandbox.node.images` builds what its pods run.
"""
