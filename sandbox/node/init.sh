#!/bin/sh
# Process 1 of the node's own namespaces: prepares them and waits. When it ends, all of the node ends with it.
#
# Arguments: the node's folder, and its name.
set -eu
folder=$1

mount --make-rshared /
hostname "$2"

# What the node writes outside of its folder is not the machine's: it vanishes with these mounts.
mount -t tmpfs -o mode=755 tmpfs /run # in memory (2 GB): thousands of files are gone at once
mkdir -p /run/node/var/upper /run/node/var/work
mount -t overlay overlay -o lowerdir=/var,upperdir=/run/node/var/upper,workdir=/run/node/var/work /var

# The kubelet sets these for the whole machine; here it sets files in front of them.
mkdir -p "$folder/sysctl"
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
    kernel/keys/root_maxbytes; do
  copy=$folder/sysctl/$(echo "$name" | tr / .)
  cat "/proc/sys/$name" >"$copy"
  mount --bind "$copy" "/proc/sys/$name"
done

ip link set lo up
ip link add node0 type bridge
ip address add 10.244.77.1/24 dev node0
ip link set node0 up
ip route add 10.96.0.0/16 dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

touch "$folder/ready"
trap 'exit 0' TERM
while :; do
  sleep 3600 &
  wait $!
done
