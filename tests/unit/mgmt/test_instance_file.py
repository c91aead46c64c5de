"""instance.toml."""

from __future__ import annotations

import pytest

from protocol import instance_file
from protocol.errors import ParameterError
from protocol.instance_file import InstanceSettings, MembershipSettings

SETTINGS = InstanceSettings(
    name="host3.instance1",
    kind="data",
    home='/a "quoted" \\ path/é',
    grid="grid1",
    data_space_group=2,
    membership=MembershipSettings(servers=("127.0.0.1:2181", "[::1]:2182"), session_timeout_s=1.5),
)


def test_what_is_written_is_read_back() -> None:
    assert instance_file.parse(instance_file.render(SETTINGS)) == SETTINGS


@pytest.mark.parametrize(
    "text",
    [
        "[instance",
        "[instance]\nname = 1\nkind = 'data'\nhome = '/x'",
        "[instance]\nname = 'x'\nkind = 'data'\nhome = '/x'\nsurprise = 1",
        "[instance]\nkind = 'data'",
        "[instance]\nname = 'x'\nkind = 'data'\nhome = '/x'\n[other]",
    ],
)
def test_a_wrong_file_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=r"instance\.toml"):
        instance_file.parse(text)
