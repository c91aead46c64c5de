"""The authority and the certificates of instances: made, given out, renewed, listed, forgotten."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from membership.tls import ClientFiles
from mgmt.api import schema
from mgmt.api import schema_certificates as requests
from mgmt.certificates import About, about
from mgmt.cli.membership import OPTIONS
from mgmt.cli.membership_certificates import certify
from mgmt.cli.words import parse_tool
from mgmt.service import certificates
from protocol import tls
from protocol.errors import ModelError, ParameterError
from protocol.instance_file import MEMBERSHIP_PEM_FILE, MEMBERSHIP_ROOT_FILE
from protocol.tls import InternalTls, ServerTls
from tests.integration.mgmt.test_apply import add_data_host
from tests.support.management import ManagedGrid, managed_grid, no_start

DAY_US = 86_400 * 1_000_000


def of(home: Path, file: str) -> About:
    """The certificate in a file of a home."""
    return about((home / file).read_text())


async def listed(grid: ManagedGrid) -> list[tuple[str, str, str]]:
    reply = await grid.call(requests.CertificateList(), requests.CertificateListReply)
    return [(row.name, row.holder, row.state) for row in reply.certificates]


async def test_every_instance_gets_a_certificate_with_its_name(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        assert of(home, tls.INSTANCE_FILE).names[0].endswith("/data/host3.instance1")
        assert of(grid.home, tls.INSTANCE_FILE).names[0].endswith("/mgmt/host1.instance1")
        assert of(home, tls.SERVER_FILE).names == ("127.0.1.13", "host3")
        for where in (home, grid.home):
            InternalTls(where / tls.ROOT_FILE, where / tls.INSTANCE_FILE)
            ServerTls(where / tls.SERVER_FILE)
            for file in (tls.INSTANCE_FILE, tls.SERVER_FILE, "conf/grid.secret"):
                assert stat.S_IMODE((where / file).stat().st_mode) == 0o600
            assert stat.S_IMODE((where / tls.FOLDER).stat().st_mode) == 0o700
            assert "PRIVATE KEY" not in (where / tls.ROOT_FILE).read_text()
        store = grid.home / "grid/management.db"
        assert stat.S_IMODE(store.stat().st_mode) == 0o600
        assert await listed(grid) == [
            ("rootWallet", "TenGrid grid1", "ok"),
            ("instanceWallet", "host1.instance1", "ok"),
            ("serverWallet", "host1.instance1", "ok"),
            ("instanceWallet", "host3.instance1", "ok"),
            ("serverWallet", "host3.instance1", "ok"),
        ]


async def test_apply_keeps_what_is_good_and_makes_what_is_missing(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        before = [of(home, file) for file in (tls.INSTANCE_FILE, tls.SERVER_FILE)]
        await grid.call(no_start())
        assert [of(home, file) for file in (tls.INSTANCE_FILE, tls.SERVER_FILE)] == before
        (home / tls.SERVER_FILE).unlink()
        await grid.call(no_start())
        assert of(home, tls.INSTANCE_FILE) == before[0]
        assert of(home, tls.SERVER_FILE).fingerprint != before[1].fingerprint


async def test_renewal_of_one_of_all_and_of_the_authority(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        own, other = of(grid.home, tls.INSTANCE_FILE), of(home, tls.INSTANCE_FILE)
        await grid.call(requests.CertificateRenew(only=("host3",), days=90))
        assert of(grid.home, tls.INSTANCE_FILE) == own
        renewed = of(home, tls.INSTANCE_FILE)
        assert renewed.serial != other.serial
        assert 89 < (renewed.not_after_us - renewed.not_before_us) / DAY_US < 91
        await grid.call(requests.CertificateRenew())
        assert of(grid.home, tls.INSTANCE_FILE) != own
        before = of(home, tls.INSTANCE_FILE), of(home, tls.ROOT_FILE)
        reply = await grid.call(requests.CertificateRenew(root=True))
        assert reply.messages[0] == "Certificate of the authority renewed"
        assert of(home, tls.INSTANCE_FILE) == before[0], "signed by the same key"
        assert of(home, tls.ROOT_FILE) != before[1]
        InternalTls(home / tls.ROOT_FILE, home / tls.INSTANCE_FILE)
        with pytest.raises(ParameterError):
            await grid.call(requests.CertificateRenew(days=0))


async def test_the_authority_gets_another_key(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        stolen = tmp_path / "stolen.pem"
        stolen.write_text((home / tls.INSTANCE_FILE).read_text())
        with pytest.raises(ModelError, match="no second key"):
            await grid.call(requests.CertificateRenew(new_key="finish"))
        began = await grid.call(requests.CertificateRenew(new_key="begin"))
        assert began.messages[1:3] == (
            "host1.instance1: received it", "host3.instance1: received it",
        )  # fmt: skip
        assert (home / tls.INSTANCE_FILE).read_text() == stolen.read_text()
        both = (home / tls.ROOT_FILE).read_text()
        assert both.count("BEGIN CERTIFICATE") == 2
        await grid.call(requests.CertificateRenew(new_key="begin"))  # repeated: the same key
        assert (home / tls.ROOT_FILE).read_text() == both
        with pytest.raises(ModelError, match="is being changed"):
            await grid.call(requests.CertificateRenew(root=True))
        await grid.call(requests.CertificateRenew(new_key="finish"))
        alone = (home / tls.ROOT_FILE).read_text()
        assert alone.count("BEGIN CERTIFICATE") == 1
        assert alone in both
        (tmp_path / "both.crt").write_text(both)
        new = InternalTls(home / tls.ROOT_FILE, home / tls.INSTANCE_FILE)
        waiting = InternalTls(tmp_path / "both.crt", stolen)  # has not got its own yet
        thief = InternalTls(home / tls.ROOT_FILE, stolen)
        shaken(new, new)
        with pytest.raises(ssl.SSLError):
            shaken(new, thief)
        shaken(waiting, waiting)
        assert {state for _, _, state in await listed(grid)} == {"ok"}


def shaken(server: InternalTls, client: InternalTls) -> None:
    """A handshake in memory. Raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.dialling().wrap_bio(to_client, to_server),
        server.accepting().wrap_bio(to_server, to_client, server_side=True),
    ]
    done: set[int] = set()
    for _ in range(10):
        for number, side in enumerate(sides):
            try:
                side.do_handshake()
                done.add(number)
            except ssl.SSLWantReadError:
                pass
    assert done == {0, 1}


def certified(folder: Path, *words: str) -> Path:
    """What `ttMembership certify` makes."""
    arguments = parse_tool(
        "ttMembership", ["certify", "-out", str(folder), *words], OPTIONS, ("action",)
    )
    assert certify(arguments, []) == 0
    return folder


def renewal_of(folder: Path) -> requests.CertificateRenew:
    """certificateRenew -membershipTls."""
    return requests.CertificateRenew(
        membership_root=(folder / "root.crt").read_text(),
        membership_certificate=(folder / "client.pem").read_text(),
    )


async def test_certificates_for_membership_servers_are_renewed(tmp_path: Path) -> None:
    folder = certified(tmp_path / "tls", "-servers", "127.0.0.1!2181,127.0.0.2!2181")
    old = {file: of(folder, file) for file in ("client.pem", "server1.pem", "server2.pem")}
    async with managed_grid(tmp_path / "grid") as grid:
        home = await add_data_host(grid, 3, 1)
        first = renewal_of(folder)
        with pytest.raises(ModelError, match="without TLS"):
            await grid.call(first)
        (grid.home / MEMBERSHIP_PEM_FILE).write_text(first.membership_certificate)
        (grid.home / MEMBERSHIP_ROOT_FILE).write_text(first.membership_root)
        await grid.call(no_start())
        assert of(home, MEMBERSHIP_PEM_FILE) == old["client.pem"]
        assert ("membershipWallet", "client", "ok") in await listed(grid)

        certified(folder, "-renew")
        new = {file: of(folder, file) for file in old}
        for file in old:
            assert new[file].fingerprint != old[file].fingerprint
            assert (new[file].names, new[file].authority) == (old[file].names, old[file].authority)
        await grid.call(renewal_of(folder))
        for where in (grid.home, home):
            assert of(where, MEMBERSHIP_PEM_FILE) == new["client.pem"]
            assert stat.S_IMODE((where / MEMBERSHIP_PEM_FILE).stat().st_mode) == 0o600
            ClientFiles(where / MEMBERSHIP_ROOT_FILE, where / MEMBERSHIP_PEM_FILE).context()
        other = certified(tmp_path / "other", "-servers", "127.0.0.1!2181")
        with pytest.raises(ParameterError, match="not of the authority"):
            await grid.call(renewal_of(other))


async def test_what_is_about_to_expire_is_told_and_renewed_by_itself(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await grid.call(requests.CertificateRenew(days=20))
        assert ("serverWallet", "host1.instance1", "expires in 19 days") in await listed(grid)
        assert grid.instance is not None
        management = grid.instance.management
        assert len(certificates.warnings(management)) == 2
        status = await grid.call(schema.MgmtStatus(), schema.MgmtStatusReply)
        assert "Certificate serverWallet of host1.instance1: expires in 19 days" in status.msgs
        assert status.cmds[-1].endswith("ttGridAdmin certificateRenew")
        await certificates.renew_near_ends(management)
        assert certificates.warnings(management) == ()


async def test_certificates_of_deleted_instances_are_forgotten(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        await grid.call(schema.HostDelete(name="host3", cascade=True))
        await grid.call(no_start())
        assert grid.instance is not None
        kept = grid.instance.management.store.items(certificates.KIND)
        assert not [key for key, _ in kept if key.startswith("host3")]


async def test_an_unencrypted_grid_stays_on_loopback_addresses(tmp_path: Path) -> None:
    async with managed_grid(tmp_path, grid=False) as grid:
        request = grid.grid_request(internal_encryption="off", internal_address="10.1.2.3")
        with pytest.raises(ModelError, match="no loopback address"):
            await grid.call(request)
        with pytest.raises(ParameterError, match="-internalEncryption some"):
            await grid.call(grid.grid_request(internal_encryption="some"))
        with pytest.raises(ParameterError, match="-serverEncryption always"):
            await grid.call(grid.grid_request(server_encryption="always"))
        reply = await grid.call(grid.grid_request(internal_encryption="off"))
        assert reply.messages[0] == "Grid grid1 created"
        assert reply.messages[1].startswith("Warning: -internalEncryption off")
        address = schema.HostCreate(
            name="host9", internal_address="10.1.2.9", external_address="10.1.2.9"
        )
        await grid.call(address)
        with pytest.raises(ModelError, match=r"10\.1\.2\.9 of host host9"):
            await grid.call(no_start())


async def test_the_archive_for_clients_checks_servers_by_name(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        request = requests.ClientExportAll(location="/opt/client/")
        reply = await grid.call(request, requests.ClientFilesReply)
        files = {file.name: file.text for file in reply.files}
        assert set(files) == {"root.crt", "pg_service.conf", "sys.odbc.ini", "README.txt"}
        assert files["root.crt"] == (grid.home / tls.ROOT_FILE).read_text()
        assert "PRIVATE KEY" not in "".join(files.values())
        await grid.call(schema.GridModify(server_encryption="rejected"))
        with pytest.raises(ModelError, match="not encrypted"):
            await grid.call(request, requests.ClientFilesReply)


async def test_a_model_export_holds_no_secret(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        reply = await grid.call(schema.ModelExport(), schema.TextFile)
        secret = (home / "conf/grid.secret").read_text()
        for text in (reply.text, (home / "conf/model.json").read_text()):
            assert "host3" in text
            assert "PRIVATE" not in text
            assert secret not in text
