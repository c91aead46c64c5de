#!/bin/bash
# keys: once, make the keys of all hosts into the volume /keys
# host: sshd, and the instances that are there; membership N SERVERS: a membership server
set -euo pipefail

as_administrator() { su tengrid -c "$*"; }

make_keys() {
    [ -e /keys/done ] && exit 0
    ssh-keygen -q -t ed25519 -N '' -C administrator -f /keys/id_ed25519
    : >/keys/known_hosts
    for name in "$@"; do
        mkdir -p "/keys/$name"
        ssh-keygen -q -t ed25519 -N '' -C "$name" -f "/keys/$name/ssh_host_ed25519_key"
        echo "int-$name $(cut -d' ' -f1,2 "/keys/$name/ssh_host_ed25519_key.pub")" >>/keys/known_hosts
    done
    touch /keys/done
}

take_keys() {
    install -d -m 700 -o tengrid -g tengrid /home/tengrid/.ssh
    install -m 600 -o tengrid -g tengrid /keys/id_ed25519 /keys/known_hosts /home/tengrid/.ssh/
    install -m 600 -o tengrid -g tengrid /keys/id_ed25519.pub /home/tengrid/.ssh/authorized_keys
    install -d -m 700 /etc/ssh/keys
    install -m 600 "/keys/$(hostname)/ssh_host_ed25519_key" /etc/ssh/keys/
}

stop_all() {
    for home in /grid/*/; do
        [ -x "$home/bin/ttDaemonAdmin" ] && as_administrator "$home/bin/ttDaemonAdmin" -stop &
    done
    wait
    exit 0
}

case "$1" in
keys)
    shift
    make_keys "$@"
    ;;
membership)
    home=/grid/membership$2
    [ -e "$home" ] || as_administrator /opt/tengrid/bin/ttMembership create -location /grid -id "$2" -servers "$3"
    exec setpriv --reuid=tengrid --regid=tengrid --init-groups env HOME=/home/tengrid \
        /opt/tengrid/python/bin/python3 -m daemons.supervisor "$home"
    ;;
host)
    chown tengrid:tengrid /grid /databases /backups /client
    take_keys
    mkdir -p /run/sshd
    /usr/sbin/sshd
    trap stop_all TERM INT
    for home in /grid/*/; do # after a restart of the container
        [ -x "$home/bin/ttDaemonAdmin" ] && as_administrator "$home/bin/ttDaemonAdmin" -start || true
    done
    while :; do
        sleep 3600 &
        wait $! || true
    done
    ;;
*)
    exec "$@"
    ;;
esac
