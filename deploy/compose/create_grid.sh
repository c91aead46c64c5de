#!/bin/bash
# On host1, as the user tengrid: the grid of compose.yaml, from nothing to an open database with the
# sample in it. May be repeated, after a failure too: what is there is left as it is.
#   SESSION_TIMEOUT  seconds of silence after which an instance counts as lost (4; many on few cores)
#   PATIENCE         seconds to wait for something that goes on by itself (600)
set -euo pipefail
servers=ms_host1!2181,ms_host2!2181,ms_host3!2181
home=/grid/instance1
patience=${PATIENCE:-600}
tool() { "$home/bin/ttGridAdmin" "$@"; }
address() { echo "-internalAddress int-$1 -externalAddress ext-$1"; }
say() { echo "-- $*"; }

# Exit codes of ttGridAdmin: 3 no active management instance answers, 4 may succeed later.
passing() { [ "$1" = 3 ] || [ "$1" = 4 ]; }

in_grid() { grep -Eq '^grid = "[^"]' "$home/conf/instance.toml"; }

# Until the management instance here is the active one and no operation runs.
settle() {
    local end=$((SECONDS + patience)) listed said=
    while in_grid && [ $SECONDS -lt $end ]; do
        if listed=$(tool operationList 2>&1); then
            grep -Eq '^ *[0-9]+ .* running ' <<<"$listed" || return 0
        else # it may have come back as the standby
            tool mgmtActiveSwitch >/dev/null 2>&1 && continue
        fi
        [ -n "$said" ] || say "waiting: $(grep -E 'running|Error' <<<"$listed" | head -1)"
        said=1
        sleep 2
    done
    in_grid || return 0
    say "the management instance has not settled in $patience s; repeat create_grid.sh later"
    return 1
}

# step TEST COMMAND ...: a ttGridAdmin command, unless what it makes is there; again while it may
# succeed later. An interrupted one may have done its work: so the test comes first each time.
step() {
    local test=$1 code end=$((SECONDS + patience))
    shift
    while :; do
        if eval "$test" >/dev/null 2>&1; then return 0; fi
        echo "% ttGridAdmin $*"
        code=0
        tool "$@" || code=$?
        [ $code = 0 ] && return 0
        passing $code && [ $SECONDS -lt $end ] || return $code
        settle
    done
}
there() { # there LIST PATTERN (no pipe: grep -q would end it early, and pipefail call that an error)
    local listed
    listed=$(tool "$1") && grep -Eq "$2" <<<"$listed"
}

say "membership servers"
for number in 1 2 3; do # a quorum must be there before a grid can be
    until /opt/tengrid/bin/ttMembership status -servers "ms_host$number!2181" >/dev/null 2>&1; do
        [ $SECONDS -lt "$patience" ] || { say "ms_host$number does not serve"; exit 1; }
        sleep 1
    done
done

say "management instance and grid"
[ -e "$home/bin/ttGridAdmin" ] \
    || "$(readlink -f /opt/tengrid)"/bin/ttInstanceCreate -name instance1 -location /grid -grid
"$home/bin/ttDaemonAdmin" -start >/dev/null 2>&1 || true # after a failure it may not run
echo "Servers $servers" >/grid/membership.conf
settle
# shellcheck disable=SC2046
step in_grid gridCreate grid1 -k 3 -host host1 $(address host1) \
    -membershipConfig /grid/membership.conf -sessionTimeout "${SESSION_TIMEOUT:-4}"
settle

made='there dbList "^database1 "'
if ! eval "$made"; then
    say "hosts"
    # shellcheck disable=SC2046
    {
        step 'there instanceList "^host2 "' hostCreate host2 $(address host2) -like host1 -cascade
        step 'there hostList "^host3 "' hostCreate host3 $(address host3) -dataSpaceGroup 1
        # the image's own installation: nothing has to be copied
        step 'there installationList "^host3 "' installationCreate host3 -location /opt
        step 'there instanceList "^host3 "' instanceCreate host3 -location /grid
        group=1
        for host in host4 host5 host6 host7 host8; do
            group=$((group % 3 + 1))
            step "there instanceList '^$host '" \
                hostCreate $host $(address $host) -like host3 -cascade -dataSpaceGroup $group
        done
    }
    step false modelApply
    say "database"
    cat >/grid/database1.dbdef <<'DBDEF'
DataStore=/databases/database1
DatabaseCharacterSet=AL32UTF8
PermSize=256
TempSize=128
DBDEF
    echo ConnectionCharacterSet=AL32UTF8 >/grid/database1client.connect
    step 'there dbdefList "^database1$"' dbdefCreate /grid/database1.dbdef
    step 'there connectableList "^database1client "' \
        connectableCreate -dbdef database1 -cs /grid/database1client.connect
    step false modelApply
    step "$made" dbCreate database1
fi
state() { tool dbStatus database1 | sed -n 3p; } # created,loaded-complete,open
reach() { # reach WORD: until the database is so far; its instances go on by themselves
    until grep -q "$1" <<<"$(state 2>/dev/null)"; do
        [ $SECONDS -lt "$patience" ] || { say "database1 is not $1 yet: $(state)"; return 1; }
        sleep 1
    done
}
all_mapped() { [ "$(tool dbDistribute database1 -list | grep -c ' Yes')" = 6 ]; }
reach loaded
step all_mapped dbDistribute database1 -add all -apply
step 'there dbList "^database1 +Y +Y"' dbOpen database1 -wait "$patience"
reach loaded-complete,open
step false dbStatus database1 -all

say "user app and the sample, by host3"
umask 077
[ -s /client/password ] || head -c 18 /dev/urandom | base64 >/client/password
data=$(printf ' ext-%s:6625' host3 host4 host5 host6 host7 host8)
# shellcheck disable=SC2029,SC2086
ssh int-host3 /opt/tengrid/python/bin/python3 -m deploy.sample "$home/info" $data </client/password

say "what a client needs, in the volume client"
for host in host3 host4 host5 host6 host7 host8; do
    echo "ext-$host:6625:database1:app:$(cat /client/password)"
done >/client/pgpass
tool certificateExport >/client/root.crt
tool gridClientExport -service -database database1 -user app -passfile /client/pgpass \
    -rootcert /client/root.crt >/client/pg_service.conf
say "done: docker compose run --rm client"
