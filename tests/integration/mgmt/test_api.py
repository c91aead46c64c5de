"""The API of a management instance: who may call it, when it answers, what it says on errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgmt.api import schema
from mgmt.ha.role import Role
from protocol import instance_file
from protocol.errors import (
    AuthenticationError,
    DuplicateModelObjectError,
    ModelError,
    NotActiveManagementError,
    ParameterError,
    PeerUnreachableError,
    UnknownModelObjectError,
)
from tests.support.management import host, managed_grid


async def test_only_the_holder_of_the_token_gets_an_answer(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        token = grid.home / instance_file.TOKEN_FILE
        token.write_text("not the token")
        with pytest.raises(AuthenticationError):
            await grid.call(schema.HostList(), schema.HostListReply)


async def test_before_gridcreate_commands_say_what_is_missing(tmp_path: Path) -> None:
    async with managed_grid(tmp_path, grid=False) as grid:
        with pytest.raises(ModelError, match="no grid yet"):
            await grid.call(schema.HostList(), schema.HostListReply)


async def test_gridcreate_makes_version_1_with_this_host(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        reply = await grid.call(schema.HostList(), schema.HostListReply)
        assert [h.name for h in reply.hosts] == ["host1"]
        settings = instance_file.load(grid.home)
        assert (settings.name, settings.grid) == ("host1.instance1", "grid1")
        mode = (grid.home / instance_file.SECRET_FILE).stat().st_mode & 0o777
        assert mode == 0o600
        with pytest.raises(ModelError, match="belongs to grid grid1 already"):
            await grid.create_grid()


async def test_errors_keep_their_kind_and_text(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        with pytest.raises(UnknownModelObjectError, match="host9"):
            await grid.call(schema.HostDelete(name="host9"))
        with pytest.raises(DuplicateModelObjectError, match="host1"):
            await grid.call(host("host1", 3))
        wrong = schema.HostCreate(internal_address="-oX=1", external_address="10.0.0.9")
        with pytest.raises(ParameterError, match="cannot be the address"):
            await grid.call(wrong)


async def test_the_model_outlives_the_process(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await grid.call(host("host3", 3, group=1))
        await grid.stop()
        with pytest.raises(PeerUnreachableError, match="does not answer") as caught:
            await grid.call(schema.HostList(), schema.HostListReply)
        assert "mgmtExamine says which one is active" in caught.value.hint
        await grid.start()
        reply = await grid.call(schema.HostList(), schema.HostListReply)
        assert [h.name for h in reply.hosts] == ["host1", "host3"]


async def test_without_a_quorum_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgmt.instance.ROLE_TIMEOUT_S", 0.1)
    async with managed_grid(tmp_path) as grid:
        grid.ensemble.lose_quorum()
        assert grid.instance is not None
        membership = grid.instance.management.membership
        assert membership is not None
        membership.serving_until_s = lambda: 0.0  # type: ignore[method-assign]  # lease is over
        with pytest.raises(NotActiveManagementError):
            await grid.call(host("host3", 3))
        grid.ensemble.restore_quorum()


async def test_a_request_waits_while_it_is_open_who_is_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a stall of the machine: the lease is over, and a moment later it is there again."""
    async with managed_grid(tmp_path) as grid:
        assert grid.instance is not None
        membership, keeper = grid.instance.management.membership, grid.instance.management.keeper
        assert membership is not None
        assert keeper is not None
        known = keeper.known

        async def known_soon(timeout_s: float) -> None:
            monkeypatch.undo()
            await known(timeout_s)

        monkeypatch.setattr(membership, "serving_until_s", lambda: 0.0)
        monkeypatch.setattr(keeper, "known", known_soon)
        await grid.call(host("host3", 3))


async def test_a_stopped_active_stays_stopped_until_it_is_started(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        reply = await grid.call(schema.MgmtActiveStop())
        assert reply.messages == ("Active management instance stopped",)
        await grid.stop()
        await grid.start()  # a restart of the daemon is not the command
        assert grid.instance is not None
        assert grid.instance.role is Role.STOPPED
        with pytest.raises(NotActiveManagementError, match="stopped"):
            await grid.call(schema.HostList(), schema.HostListReply)
        status = await grid.call(schema.MgmtStatus(), schema.MgmtStatusReply)
        assert status.cmds[0].endswith("mgmtActiveStart")
        reply = await grid.call(schema.MgmtActiveStart())
        assert reply.messages == ("This management instance is now the active",)
        await grid.call(schema.HostList(), schema.HostListReply)


async def test_retention_and_settings_are_shown(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        reply = await grid.call(schema.GridModify(retain_days=20))
        assert reply.messages == ("Grid Definition modified.",)
        shown = await grid.call(schema.GridDisplay(), schema.GridReply)
        assert (shown.k, shown.retain_days, shown.retain_versions) == (2, 20, 10)
