"""ttIsql replays the documented sessions T14 to T22 and prints what they show."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.sample import generate
from tests.support.memory_grid import DATABASE, PASSWORD, USER, running_grid
from tests.support.sample import SCHEMA

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
CREATE TABLE mytable (col1 NUMBER NOT NULL, col2 VARCHAR2 (32));
describe mytable;
ALTER TABLE mytable ADD CONSTRAINT c1 PRIMARY KEY (col1);
describe mytable;
describe customers;
describe accounts;
describe account_type;
SELECT elementid# FROM dual;
SELECT cust_id,last_name,first_name FROM customers
  WHERE cust_id BETWEEN 910 AND 912 ORDER BY cust_id;
SELECT /*+TT_GridQueryExec(GLOBAL)*/ elementId#, replicasetId# FROM dual ORDER BY elementId#;
CREATE MATERIALIZED VIEW v AS SELECT * FROM mytable;
autocommit 0;
INSERT INTO mytable VALUES (1, 'a;b');
rollback;
INSERT INTO mytable VALUES (2, NULL);
INSERT INTO nosuch VALUES (1);
commit;
autocommit 1;
SELECT * FROM mytable;
set serveroutput on;
CREATE OR REPLACE PROCEDURE p AS
BEGIN dbms_output.put_line('from p'); END;
/
BEGIN
  UPDATE mytable SET col2 = 'x';
  p;
END;
/
ALTER PROCEDURE p COMPILE;
tables;
indexes mytable;
explain SELECT * FROM mytable;
describe p;
describe nosuch;
"""
EXPECTED = """
Connection successful: DSN=database1;UID=TERRY;
Table TERRY.MYTABLE:
  Columns:
    COL1                            NUMBER NOT NULL
    COL2                            VARCHAR2 (32) INLINE
  DISTRIBUTE BY HASH
1 table found.
(primary key columns are indicated with *)
   *COL1                            NUMBER NOT NULL
  DISTRIBUTE BY HASH (CUST_ID)
  DISTRIBUTE BY REFERENCE (FK_CUSTOMER)
  DUPLICATE
< 1 >
1 row found.
< 910, Riley, Tessa >
< 911, Riley, Rashad >
< 912, Riley, Emma >
3 rows found.
< 1, 1 >
< 2, 2 >
2 rows found.
The command failed.
1 row inserted.
1 row inserted.
 2206: relation "nosuch" does not exist, character position: 13
The command failed.
< 2, <NULL> >
1 row found.
Procedure created.
from p
PL/SQL procedure successfully completed.
 SQLSTATE 0A000: ALTER PROCEDURE is not supported, character position: 7
  TERRY.ACCOUNTS
6 tables found.
  C1: global unique range index on columns:
Query,
Procedure TERRY.P:
1 procedure found.
 2206: Table TERRY.NOSUCH not found
"""


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Path]:
    """The service file of a grid of two elements with the sample's tables, 1,000 customers."""
    async with running_grid(tmp_path, k=1, sets=2) as grid:
        port = grid.nodes[0].settings.cs_port
        file = tmp_path / "pg_service.conf"
        file.write_text(
            f"[{DATABASE}]\nhost=127.0.0.1\nport={port}\ndbname={DATABASE}\nuser={USER}\n"
        )
        (tmp_path / "schema.sql").write_text(SCHEMA)
        assert (await _isql(file, "-v", "0", "-f", str(tmp_path / "schema.sql")))[0] == 0
        client = await grid.connect(1)
        lines = "".join(f"{line.rstrip()}\n" for line in generate.customers(1000)).encode()

        async def source() -> AsyncIterator[bytes]:
            yield lines

        await client.copy_to_table("customers", source=source(), null=generate.NULL)
        await client.close()
        yield file


async def _isql(services: Path, *words: str, typed: str = "") -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.clients.isql", *words),
        *("-connStr", f"DSN={DATABASE};UID={USER};PWD={PASSWORD}"),
        cwd=ROOT,
        env={**os.environ, "PGSERVICEFILE": str(services)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(typed.encode())
    return process.returncode, output.decode()


async def test_the_documented_sessions(services: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text(SCRIPT)
    code, output = await _isql(services, "-f", str(script))
    assert code == 1  # statements failed, as they should
    at = 0
    for line in EXPECTED.strip("\n").splitlines():
        found = output.find(f"\n{line}", at)
        assert found >= 0, f"not there or not in this order: {line}\n{output}"
        at = found + 1

    # The same commands from a pipe give the same; other levels leave out what they promise to.
    code, output = await _isql(
        services, typed="SELECT col1\nFROM mytable;\nexit\nSELECT 3 FROM dual;\n"
    )
    assert code == 0 and "\n< 2 >\n1 row found.\n" in output and "< 3 >" not in output
    shown = await _isql(services, "-v", "1", "-e", "SELECT col2 FROM mytable; exit")
    assert shown == (0, "< x >\n")


async def test_connections_that_cannot_be(services: Path) -> None:
    code, output = await _isql(services, "-e", 'connect "DSN=nosuch"; tables; exit')
    assert code == 1 and "PGSERVICEFILE names the service file" in output
    assert "there is no connection" in output
    code, output = await _isql(services, "-e", 'connect "DSN=a;Colour=red"; exit')
    assert code == 1 and re.search("unknown attribute COLOUR", output)


FURTHER = """
variable n NUMBER;
variable s VARCHAR2 (20);
exec :n := 910;
BEGIN SELECT last_name INTO :s FROM customers WHERE cust_id = :n; END;
/
print
SELECT first_name FROM customers WHERE cust_id = :n AND last_name = :s;
setvariable s := 'it''s';
print s;
SELECT :missing FROM dual;
prepare 2 SELECT cust_id FROM customers
  WHERE cust_id BETWEEN :n AND 913 ORDER BY 1;
exec 2;
fetchone 2;
fetchnext 2 2;
fetchall 2;
free 2;
fetchone 2;
prepare SELECT nosuch FROM dual;
CREATE OR REPLACE PROCEDURE broken AS BEGIN nosuch(1); END;
/
show errors procedure broken;
drop procedure broken;
show errors;
variable c REFCURSOR;
BEGIN OPEN :c FOR SELECT cust_id, last_name FROM customers WHERE cust_id > :n - 1 AND cust_id < 912
  ORDER BY cust_id; END;
/
print c;
SELECT :c FROM dual;
define t = customers;
SELECT count(*) FROM &t;
isolation 0;
isolation;
isolation 1;
sqlquerytimeout 7;
sqlquerytimeout;
sqlquerytimeout 0;
statsupdate customers;
dssize m;
showplan 1;
SELECT first_name FROM customers WHERE cust_id = 911;
showplan 0;
passthrough 1;
monitor;
setenv TG_TEST=yes
getenv TG_TEST
prompt that is all
"""
FURTHER_SHOWN = """
N                    : 910
S                    : Riley
< Tessa >
S                    : it's
variable missing is not declared
< 910 >
1 row found.
< 911 >
< 912 >
2 rows found.
< 913 >
1 row found.
 no statement 2 is prepared
 2211:
Errors for PROCEDURE BROKEN:
LINE     ERROR
NOSUCH
No errors.
C                    :
< 910, Riley >
< 911, Riley >
 c is a REFCURSOR: only blocks and print use it
< 1000 >
isolation = SERIALIZABLE
Query timeout = 7s
  PERM_ALLOCATED_SIZE:      64
  PERM_IN_USE_SIZE:
Query,
< Rashad >
 passthrough is not supported: there are no cache groups
 monitor is not supported: use SELECT * FROM sys.monitor
TG_TEST = yes
that is all
"""


async def test_further_commands(services: Path, tmp_path: Path) -> None:
    script, spooled = tmp_path / "script.sql", tmp_path / "spooled"
    script.write_text(f"spool {spooled};\n{FURTHER}\nspool off;\nprompt not spooled\n")
    code, output = await _isql(services, "-f", str(script))
    assert code == 1  # some are refused, as they should be
    at = 0
    for line in FURTHER_SHOWN.strip("\n").splitlines():
        found = output.find(line, at)
        assert found >= 0, f"not there or not in this order: {line}\n{output[at:]}"
        at = found + len(line)
    text = spooled.read_text()
    assert "that is all" in text and "not spooled" not in text
