"""The text of .dbdef and .connect files, and of membership.conf."""

from __future__ import annotations

import pytest

from mgmt.model import attributes
from mgmt.model.membership_file import parse_membership
from mgmt.service.instance_files import address_port
from protocol.errors import ParameterError

GOOD = """# a comment
[database1]
DataStore=/disk1/databases/database1
LogDir = /disk2/logs
DatabaseCharacterSet=AL32UTF8
PermSize=256
"""


def parsed(text: str) -> attributes.Attributes:
    return attributes.parse(text, name="database1", what="database definition")


def test_attributes_keep_their_order_and_spelling() -> None:
    assert parsed(GOOD) == (
        ("DataStore", "/disk1/databases/database1"),
        ("LogDir", "/disk2/logs"),
        ("DatabaseCharacterSet", "AL32UTF8"),
        ("PermSize", "256"),
    )


def test_what_is_written_is_read_back() -> None:
    text = attributes.render(parsed(GOOD), name="database1", comment="exported")
    assert parsed(text) == parsed(GOOD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[other]\nDataStore=/x", "must be"),
        ("DataStore=/x\n[database1]", "first line"),
        ("DataStore", "attribute=value"),
        ("PermSize=1\npermsize=2", "twice"),
        ("PermSize=0", "1 to"),
        ("PermSize=lots", "must be a number"),
        ("AutoCreate=1", "not supported"),
        ("DatabaseCharacterSet=KLINGON", "not supported"),
        ("DataStore=", "empty"),
    ],
)
def test_wrong_lines_are_refused(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parsed(text)


@pytest.mark.parametrize(
    ("text", "k", "message"),
    [
        ("DataStore=/x", 2, "DatabaseCharacterSet is required"),
        ("DatabaseCharacterSet=AL32UTF8", 2, "DataStore is required"),
        ("DataStore=x\nDatabaseCharacterSet=AL32UTF8", 2, "absolute"),
        (f"{GOOD}Durability=0", 1, "K of at least 2"),
    ],
)
def test_a_database_needs_a_whole_definition(text: str, k: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        attributes.check_database(parsed(text), name="database1", k=k)


@pytest.mark.parametrize("line", ["DataStore=/x", "permsize=64", "Connections=5", "Durability=1"])
def test_a_connectable_has_no_attributes_of_databases(line: str) -> None:
    attributes.check_connectable(parsed("LockWait=3\nUID=appuser\nTTC_Timeout=5"), name="c")
    with pytest.raises(ParameterError, match="attribute of databases"):
        attributes.check_connectable(parsed(line), name="c")


def test_attributes_fixed_by_create_are_told_apart() -> None:
    changed = parsed(GOOD.replace("/disk2/logs", "/disk3/logs").replace("256", "512"))
    assert attributes.changed_data_store(parsed(GOOD), changed) == ["logdir"]


def test_membership_servers_come_in_two_spellings() -> None:
    text = "# servers\nServers ms_host1!2181, ms_host2:2182 ,fe80::1!2183\n"
    servers = parse_membership(text)
    assert servers == ("ms_host1!2181", "ms_host2!2182", "fe80::1!2183")
    assert [address_port(s) for s in servers] == [
        "ms_host1:2181",
        "ms_host2:2182",
        "[fe80::1]:2183",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "Servers", "Servers a", "Servers a!0", "Servers a!1,a!1", "Servers a!2181!2888!3888"],
)
def test_a_wrong_membership_file_is_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        parse_membership(text)
