#!/bin/bash
# On host1, as the user tengrid: the grid of compose.yaml, from nothing to an open database.
set -euo pipefail
servers=ms_host1!2181,ms_host2!2181,ms_host3!2181
admin() { echo "% ttGridAdmin $*"; /grid/instance1/bin/ttGridAdmin "$@"; }
address() { echo "-internalAddress int-$1 -externalAddress ext-$1"; }

[ -e /grid/instance1 ] || "$(readlink -f /opt/tengrid)"/bin/ttInstanceCreate -name instance1 -location /grid -grid
echo "Servers $servers" >/grid/membership.conf
# shellcheck disable=SC2046
{
    admin gridCreate grid1 -k 3 -host host1 $(address host1) -membershipConfig /grid/membership.conf
    admin hostCreate host2 $(address host2) -like host1 -cascade
    admin hostCreate host3 $(address host3) -dataSpaceGroup 1
    admin installationCreate host3 -location /opt # the image's own: nothing has to be copied
    admin instanceCreate host3 -location /grid
    group=1
    for host in host4 host5 host6 host7 host8; do
        group=$((group % 3 + 1))
        admin hostCreate $host $(address $host) -like host3 -cascade -dataSpaceGroup $group
    done
}
admin modelApply
cat >/grid/database1.dbdef <<'DBDEF'
DataStore=/databases/database1
DatabaseCharacterSet=AL32UTF8
PermSize=256
TempSize=128
DBDEF
echo ConnectionCharacterSet=AL32UTF8 >/grid/database1client.connect
admin dbdefCreate /grid/database1.dbdef
admin connectableCreate -dbdef database1 -cs /grid/database1client.connect
admin modelApply
admin dbCreate database1 -wait 300
admin dbDistribute database1 -add all -apply
admin dbOpen database1 -wait 300
admin dbStatus database1 -all
