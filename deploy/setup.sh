#!/bin/bash
# Set up what is missing and say so: .venv with the project in it, a JRE, ZooKeeper.
#   deploy/setup.sh          to run a grid
#   deploy/setup.sh --test   to run the tests too
#   deploy/setup.sh --bench  to run the benchmarks too, with the peers that can be installed
# Idempotent: when everything is there it ends at once. Debian 12, Ubuntu 24.04 and relatives.
set -euo pipefail
cd "$(dirname "$0")/.."

WANT_TEST=0
WANT_PEERS=0
case "${1:-}" in
    --test) WANT_TEST=1 ;;
    --bench) WANT_TEST=1 WANT_PEERS=1 ;;
esac
ZOOKEEPER_JARS="/usr/share/java/zookeeper.jar /usr/share/java/slf4j-simple.jar"
STARTED=$SECONDS

say() { printf '[setup] %s\n' "$*"; }
fail() { printf '[setup] cannot go on: %s\n' "$*" >&2; exit 1; }

# Debian's own build is 1.3 to 2 times as fast as an unoptimised one that may stand first on PATH.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found; install python3"
}

# Run a command with its output in a log file; show that it still works, and the log if it fails.
quietly() {
    local title=$1 log=$2 began=$SECONDS
    shift 2
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 &
    local pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if [ -t 1 ]; then
            printf '\r[setup] %s ... %ds ' "$title" $((SECONDS - began))
            sleep 0.2
        elif [ $(((SECONDS - began) % 15)) -eq 14 ]; then
            say "$title ... $((SECONDS - began))s"
            sleep 1
        else
            sleep 0.2
        fi
    done
    local code=0
    wait "$pid" || code=$?
    [ -t 1 ] && printf '\r'
    if [ "$code" -ne 0 ]; then
        tail -n 25 "$log" >&2
        fail "$title failed (exit code $code); the whole output is in $log"
    fi
    say "$title: done in $((SECONDS - began))s        "
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian packages that are missing, one a line.
missing_packages() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || [ -x .venv/bin/python ] || {
        case "$PYTHON" in
            /usr/bin/python3) echo python3-venv ;;
            *) fail "$PYTHON has no venv module" ;;
        esac
    }
    if [ -n "${ZOOKEEPER_HOME:-}" ]; then
        ls "$ZOOKEEPER_HOME"/lib/zookeeper-*.jar "$ZOOKEEPER_HOME"/zookeeper-*.jar >/dev/null 2>&1 ||
            [ -n "$(ls "$ZOOKEEPER_HOME"/lib/zookeeper-*.jar 2>/dev/null)" ] ||
            fail "ZOOKEEPER_HOME=$ZOOKEEPER_HOME has no zookeeper-*.jar, nor has its lib"
    else
        local jar
        for jar in $ZOOKEEPER_JARS; do
            [ -e "$jar" ] || { echo libzookeeper-java; break; }
        done
    fi
    if [ -n "${JAVA_HOME:-}" ]; then
        [ -x "$JAVA_HOME/bin/java" ] || fail "JAVA_HOME=$JAVA_HOME has no bin/java"
    else
        command -v java >/dev/null || echo default-jre-headless
    fi
    if [ "$WANT_TEST" = 1 ]; then
        command -v psql >/dev/null || echo postgresql-client
        if ! command -v prometheus >/dev/null &&
            [ -n "$(apt-cache search --names-only '^prometheus$' 2>/dev/null)" ]; then
            echo prometheus
        fi
    fi
}

install_packages() {
    local packages=$1
    say "missing: $packages"
    command -v apt-get >/dev/null ||
        fail "there is no apt-get here; install by hand what Debian calls: $packages
        (or set ZOOKEEPER_HOME to an unpacked Apache ZooKeeper, and JAVA_HOME to a JRE)"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            fail "neither root nor sudo; as root, run: apt-get install $packages"
        sudo -n true 2>/dev/null || { say "sudo wants your password:"; sudo -v; } ||
            fail "sudo refused; as root, run: apt-get install $packages"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of words
    if ! as_root apt-get install -y --no-install-recommends --simulate $packages >/dev/null 2>&1; then
        quietly "updating the package lists" "$LOGS/apt-update.log" as_root apt-get update
    fi
    # shellcheck disable=SC2086
    quietly "installing $packages" "$LOGS/apt-install.log" \
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
    case " $packages " in
        *" prometheus "*) # tests start their own; Debian's service would listen on all addresses
            as_root systemctl disable --now prometheus >/dev/null 2>&1 || true ;;
    esac
}

# What the benchmarks compare with, one a line; without them those rows are skipped.
missing_peers() {
    PATH=$PATH:/usr/sbin
    command -v pgbench >/dev/null || echo postgresql-contrib
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || echo postgresql
    command -v mariadbd >/dev/null && command -v wsrep_sst_rsync >/dev/null || echo mariadb-server
    ls /usr/lib/galera/libgalera_smm.so /usr/lib/libgalera_smm.so >/dev/null 2>&1 || echo galera-4
    local program
    for program in rsync sysbench; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

# Servers that come with packages are not started: the benchmarks start their own.
install_peers() {
    local packages=$1 policy=/usr/sbin/policy-rc.d
    say "the benchmarks compare with peers that are not installed: $packages"
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; }; then
        say "neither apt-get nor root: rows that need them will be skipped"
        return
    fi
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        # shellcheck disable=SC2064  # the file as it is named now
        trap "as_root rm -f $policy" EXIT
    fi
    (install_packages "$packages") || say "not installed: rows that need them will be skipped"
}

# Drivers and tools that some tests use: who misses one is skipped with the reason.
missing_drivers() {
    ls /usr/share/java/postgresql*.jar >/dev/null 2>&1 || echo libpostgresql-jdbc-java
    command -v javac >/dev/null || echo default-jdk-headless
    # unixodbc (isql, odbcinst, libodbc): pyodbc has no driver manager of its own since 5.5
    command -v isql >/dev/null && odbcinst -q -d 2>/dev/null | grep -q PostgreSQL ||
        echo odbc-postgresql unixodbc
    command -v node >/dev/null || echo nodejs node-pg
    command -v chromium >/dev/null && command -v chromedriver >/dev/null ||
        echo chromium chromium-driver
    command -v certutil >/dev/null || echo libnss3-tools
}

install_drivers() {
    local package
    command -v apt-get >/dev/null || return 0
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || return 0
    for package in $(missing_drivers); do
        if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            "$package" >>"$LOGS/drivers.log" 2>&1; then
            say "for tests: $package"
        else
            say "for tests: $package cannot be had here; what needs it is skipped"
        fi
    done
    if command -v node >/dev/null && command -v npm >/dev/null && [ ! -d .venv/node/node_modules/pg ] &&
        [ ! -d /usr/share/nodejs/pg ]; then
        timeout 120 npm install --prefix .venv/node --no-fund --no-audit --no-package-lock pg \
            >>"$LOGS/drivers.log" 2>&1 || say "for tests: node's pg cannot be had here"
    fi
}

install_project() {
    local extra=""
    [ "$WANT_TEST" = 1 ] && extra="[dev]"
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -rf .venv
        quietly "creating .venv with $PYTHON" "$LOGS/venv.log" "$PYTHON" -m venv .venv
    fi
    quietly "installing TenGrid${extra} and its libraries into .venv" "$LOGS/pip.log" \
        .venv/bin/python -m pip install --disable-pip-version-check -e ".${extra}"
}

PYTHON=$(find_python)
LOGS=.venv/setup-logs
[ -d .venv ] || LOGS=$(mktemp -d)
# The stamp says for which settings and which interpreter the environment was made. The test
# environment contains the other one.
KEY=$( (sha256sum <pyproject.toml; "$PYTHON" -V; pwd) | sha256sum | cut -c1-32)
STAMP=.venv/.setup-$KEY
READY=0
if [ -x .venv/bin/python ]; then
    [ -e "$STAMP-test" ] && READY=1
    [ "$WANT_TEST" = 0 ] && [ -e "$STAMP-run" ] && READY=1
fi

MISSING=$(missing_packages | sort -u | tr '\n' ' ')
MISSING=${MISSING% }
PEERS=""
[ "$WANT_PEERS" = 1 ] && PEERS=$(missing_peers | tr '\n' ' ')
[ -z "$MISSING$PEERS" ] && [ "$READY" = 1 ] && exit 0
[ -n "$MISSING" ] && install_packages "$MISSING"
[ -n "$PEERS" ] && install_peers "${PEERS% }"
if [ "$READY" = 0 ]; then
    install_project
    [ "$WANT_TEST" = 1 ] && install_drivers
    rm -f .venv/.setup-*
    if [ "$WANT_TEST" = 1 ]; then touch "$STAMP-test"; else touch "$STAMP-run"; fi
fi
say "ready after $((SECONDS - STARTED))s"
