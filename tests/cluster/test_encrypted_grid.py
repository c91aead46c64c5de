"""A real grid with both networks encrypted: clients, strangers on every port, renewal, secrets."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from protocol import instance_file, tls
from protocol.errors import HandshakeError
from protocol.rpc.client import RpcPeer
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.tls import InternalTls
from tests.support import certificates
from tests.support.real_grid import RealGrid

pytestmark = pytest.mark.timeout(300)
HOST3, HOST4 = 3, 4


@pytest.fixture(scope="module")
def grid() -> Iterator[RealGrid]:
    folder = Path(tempfile.mkdtemp(prefix="tg-"))  # pytest's own folders have too long paths
    real = RealGrid.make(folder / "g", k=2, data=2, encryption="on")
    try:
        yield real
    finally:
        real.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def root(grid: RealGrid) -> str:
    return str(grid.plan.folder / "root.crt")


def internal_ports(grid: RealGrid) -> list[tuple[str, int]]:
    """daemonPort of every instance."""
    homes = (grid.plan.management_home(), *grid.plan.data_homes())
    settings = [instance_file.load(home) for home in homes]
    return [(s.internal_address, s.daemon_port) for s in settings]


# -- the external network -------------------------------------------------------------------------
def test_psycopg_and_psql_check_the_server_by_name(grid: RealGrid) -> None:
    words = {**grid.words(grid.address(HOST3)), "sslmode": "verify-full", "sslrootcert": root(grid)}
    with psycopg.connect(**words) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT 1 FROM dual").fetchall() == [(1,)]
    other = certificates.authority()
    wrong = grid.plan.folder / "wrong.crt"
    wrong.write_text(other.certificates)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(**{**words, "sslrootcert": str(wrong)})
    wrong.unlink()
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        psycopg.connect(**{**words, "host": "localhost", "hostaddr": grid.address(HOST3)})
    if shutil.which("psql") is None:
        pytest.skip("no psql on this machine")
    for name in ("database1", "database1client"):
        script = f". {grid.plan.folder}/env.sh && psql service={name} -Atc '\\conninfo'"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        assert "protocol: TLSv1.3" in done.stdout, done.stdout + done.stderr


async def test_asyncpg_checks_the_server_by_name(grid: RealGrid) -> None:
    login, address = grid.login, grid.address(HOST4)
    words = {"user": login.user, "password": login.password, "database": login.database}
    context = ssl.create_default_context(cafile=root(grid))
    connection = await asyncpg.connect(
        host=address, port=grid.plan.cs_port, ssl=context, timeout=10, **words
    )
    assert await connection.fetchval("SELECT 7 FROM dual") == 7
    await connection.close()


def test_old_tls_and_the_internal_address_serve_no_sql_client(grid: RealGrid) -> None:
    words = grid.words(grid.address(HOST3))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**words, sslmode="require", ssl_max_protocol_version="TLSv1.1")
    for address, port in internal_ports(grid):
        for mode in ("disable", "require"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(**{**words, "host": address, "port": port}, sslmode=mode)
    with pytest.raises(ConnectionRefusedError):  # no listener for one network is on the other
        socket.create_connection((grid.address(HOST3), grid.plan.daemon_port), timeout=5)


def test_the_archive_for_clients_works_where_it_is_unpacked(grid: RealGrid) -> None:
    folder = grid.plan.folder.parent / "client"
    passfile = str(grid.plan.folder / "pgpass")
    archive = grid.plan.folder.parent / "client.zip"
    options = ("-location", str(folder), "-user", grid.login.user, "-passfile", passfile)
    said = grid.admin("gridClientExportAll", str(archive), *options)
    assert "root.crt" in said
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    before = os.environ.get("PGSERVICEFILE")
    os.environ["PGSERVICEFILE"] = str(folder / "pg_service.conf")
    try:
        with psycopg.connect("service=database1") as connection:
            assert connection.pgconn.ssl_in_use
    finally:
        del os.environ["PGSERVICEFILE"]
        if before is not None:
            os.environ["PGSERVICEFILE"] = before


# -- the internal network -------------------------------------------------------------------------
async def test_a_stranger_comes_in_at_no_internal_port(grid: RealGrid, tmp_path: Path) -> None:
    """He even knows the grid's secret; what he lacks is a certificate of his own name."""
    own = instance_file.load(grid.home(HOST4))
    foreign = certificates.internal(
        tmp_path, certificates.authority(), "host9.instance1", grid_id=own.grid_id
    )
    stolen = InternalTls(own.path(tls.ROOT_FILE), own.path(tls.INSTANCE_FILE))  # of host4
    for address, port in internal_ports(grid):
        for shown in (None, foreign, stolen):
            identity = NodeIdentity(
                own.grid_id, "host9.instance1", "x", own.secret().encode(), kind="tool"
            )
            node = RpcNode(identity, tls=shown)
            peer = RpcPeer("")  # anybody
            peer.address, peer.port = address, port
            with pytest.raises((HandshakeError, OSError)) as refused:
                await node._dial_once(peer)
            if shown is stolen:
                assert "shows the certificate of host4.instance1" in str(refused.value)
            await node.close()


def test_the_management_api_wants_tls_and_the_token(grid: RealGrid) -> None:
    settings = instance_file.load(grid.plan.management_home())
    place = (settings.internal_address, settings.mgmt_port)
    token = settings.path(instance_file.TOKEN_FILE).read_text()
    plain = http.client.HTTPConnection(*place, timeout=5)
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.request("POST", "/api/v1/grids/display", "{}")
        plain.getresponse()
    plain.close()
    context = ssl.create_default_context(cafile=root(grid))
    for word, status in (("", 401), ("Bearer ", 401), (f"Bearer {token[:-1]}x", 401)):
        connection = http.client.HTTPSConnection(*place, timeout=5, context=context)
        connection.request("POST", "/api/v1/grids/display", "{}", {"Authorization": word})
        assert connection.getresponse().status == status
        connection.close()
    assert json.loads(grid.admin("gridDisplay", "-o", "json"))["internal_encryption"] == "required"


def serial(address: str, port: int) -> str:
    """Of the certificate that a new SQL connection is shown."""
    pem = ""
    with socket.create_connection((address, port), timeout=5) as plain:
        plain.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert plain.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as encrypted:
            pem = ssl.DER_cert_to_PEM_cert(encrypted.getpeercert(binary_form=True) or b"")
    return certificates.about(pem).serial


def test_renewal_while_clients_work(grid: RealGrid) -> None:
    words = {**grid.words(grid.address(HOST3)), "sslmode": "verify-full", "sslrootcert": root(grid)}
    place = (grid.address(HOST3), grid.plan.cs_port)
    before = serial(*place)
    with psycopg.connect(**words) as connection:
        insert = "INSERT INTO customers VALUES (%s, 'A', 'B', NULL, NULL, NULL, SYSDATE)"
        connection.execute(insert, (1,))
        assert "certificates renewed" in grid.admin("certificateRenew")
        for key in range(2, 20):  # over connections between instances that are still open
            connection.execute(insert, (key,))
        assert serial(*place) != before
        old = grid.daemon_pid(HOST4)
        grid.kill_daemon(HOST4)  # comes back with the new certificate and reaches everybody
        eventually(lambda: grid.daemon_pid(HOST4) not in (0, old))
        eventually(lambda: grid.summary() == "created,loaded-complete,open")
        assert connection.execute("SELECT count(*) FROM customers").fetchall() == [(19,)]
        assert grid.admin("certificateRenew", "-root").startswith("Certificate of the authority")
    with psycopg.connect(**words):
        pass  # clients with the old file of the authority come in as before
    (log,) = (grid.home(HOST3) / "diag").glob("ttmesg.log")
    assert "tls.reloaded" in log.read_text()


def eventually(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)  # other processes cannot be awaited, only asked


# -- secrets --------------------------------------------------------------------------------------
def test_secrets_are_where_they_belong_and_nowhere_else(grid: RealGrid) -> None:
    folder = grid.plan.folder
    settings = instance_file.load(grid.plan.management_home())
    (folder / "repository").mkdir()
    grid.admin("repositoryCreate", "repo1", "-path", str(folder / "repository"), "-method", "mount")
    grid.admin("gridLogCollect", "-repository", "repo1", "logs1")
    secrets = {
        "grid secret": settings.secret(),
        "token": settings.path(instance_file.TOKEN_FILE).read_text().strip(),
        "password of the membership servers": settings.membership_logins()().current.password,
        "password of a user": grid.login.password,
    }
    keys = [*folder.glob("host*/*/conf/certificates/*.pem")]
    assert len(keys) == 9
    for key in keys:
        secrets[f"key {key}"] = key.read_text().splitlines()[1]  # first line of the key itself
    homes = {
        "conf/grid.secret",
        "conf/api.token",
        tls.INSTANCE_FILE,
        tls.SERVER_FILE,
        instance_file.MEMBERSHIP_PEM_FILE,
        "conf/tls/server.pem",  # of a membership server; the rest is what certify made
        *("root.key", "client.pem", "server1.pem", "server2.pem", "server3.pem"),
        "grid/management.db",
        "grid/management.db-wal",
        "grid/management.db-shm",
    }
    looked_at = 0
    for file in folder.rglob("*"):
        if not file.is_file() or file.is_symlink():
            continue
        content = file.read_bytes()
        looked_at += 1
        inside = [name for name, secret in secrets.items() if secret.encode() in content]
        if b"PRIVATE KEY" in content:
            inside.append("a private key")
        relative = "/".join(file.relative_to(folder).parts[2:])
        if relative in homes or file.name == "pgpass":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        else:
            assert not inside, f"{file}: {inside}"
    assert looked_at > 100
    assert [*folder.glob("repository/**/ttmesg.log")], "the collected logs were looked at"
    shutil.rmtree(folder / "repository")
    export = grid.admin("modelExport")
    assert not [name for name, secret in secrets.items() if secret in export]


def test_no_process_shows_a_secret_in_its_arguments(grid: RealGrid) -> None:
    settings = instance_file.load(grid.plan.management_home())
    secrets = (
        settings.secret(),
        settings.path(instance_file.TOKEN_FILE).read_text().strip(),
        settings.membership_logins()().current.password,
        grid.login.password,
    )
    pids = grid.processes().values()
    assert len(pids) == 6
    for pid in pids:
        for file in ("cmdline", "environ"):
            shown = Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace")
            assert not any(secret in shown for secret in secrets)


async def test_membership_servers_show_nothing_of_the_grid(grid: RealGrid) -> None:
    """Without the grid's password; a session of an instance can see its own."""
    session = grid.membership()
    await session.start()
    try:
        assert session.view().instances
    finally:
        await session.stop()
    settings = instance_file.load(grid.plan.management_home())
    files = [f for home in grid.plan.membership_homes() for f in home.rglob("*") if f.is_file()]
    password = settings.membership_logins()().current.password.encode()
    assert not [f for f in files if password in await asyncio.to_thread(f.read_bytes)]


def test_the_standby_can_renew_as_soon_as_it_is_the_active(grid: RealGrid) -> None:
    """The authority's key came to it with the management store."""
    plan, home = grid.plan, grid.plan.folder / "host2" / "instance1"
    addresses = ("-internalAddress", "127.0.0.12", "-externalAddress", "127.0.1.12")
    ports = ("-daemonPort", plan.daemon_port, "-csPort", plan.cs_port, "-mgmtPort", plan.mgmt_port)
    grid.admin("hostCreate", "host2", *addresses)
    grid.admin("installationCreate", "host2", "-location", str(plan.folder / "install"))
    where = ("-type", "management", "-location", str(home.parent))
    grid.admin("instanceCreate", "host2.instance1", *where, *map(str, ports))
    try:
        grid.admin("modelApply")
        grid.tool(home, "ttGridAdmin", "mgmtActiveSwitch")
        said = grid.tool(home, "ttGridAdmin", "certificateRenew", "host3")
        assert said == "host3.instance1: certificates renewed\n"
        listed = grid.tool(home, "ttGridAdmin", "certificateList")
        assert "instanceWallet host2.instance1" in " ".join(listed.split())
        assert stat.S_IMODE((home / "grid/management.db").stat().st_mode) == 0o600
        with psycopg.connect(
            **grid.words(grid.address(HOST3)), sslmode="verify-full", sslrootcert=root(grid)
        ) as connection:
            assert connection.execute("SELECT 1 FROM dual").fetchall() == [(1,)]
    finally:
        grid.tool(home, "ttDaemonAdmin", "-stop", "-force")
