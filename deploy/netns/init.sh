#!/bin/bash
# The first process of a "host": in network, mount, host name and process namespaces of its own.
# init.sh NAME FOLDER LAB SOFTWARE
set -euo pipefail
name=$1 folder=$2 lab=$3 software=$4
hostname "${name//_/-}"
mount --make-rprivate /
mount --bind "$folder/grid" /grid
mkdir -p "$lab/shared" /grid/shared     # what NFS would be
mount --bind "$lab/shared" /grid/shared
if [ -d "$software" ] && [ -d "/grid/$(basename "$software")" ]; then
    mount --bind -o ro "$software" "/grid/$(basename "$software")"
fi
mount --bind "$lab/hosts" /etc/hosts
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/ssh
cp -a "$lab/ssh/." /run/ssh/
mount -t tmpfs -o mode=700 tmpfs /root
cp -a /run/ssh /root/.ssh
ip link set lo up
: >"$folder/namespaces"                 # the network may be laid
for _ in $(seq 300); do
    [ -e "$folder/network" ] && break
    sleep 0.1
done
if [ -e "$folder/sshd_config" ]; then
    "$(command -v sshd || echo /usr/sbin/sshd)" -E "$folder/sshd.log" -f "$folder/sshd_config"
fi
: >"$folder/up"
while :; do                             # bash reaps what is left to it
    sleep 3600 &
    wait $! || true
done
