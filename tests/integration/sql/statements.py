"""Statements and what they give, for test_statements.py: the same on any number of replica sets.

`SAME`: SQLite gives the same for the same text, or for the second text of a pair.
`GIVES`: a statement and its rows, where SQLite has nothing like it; run one after the other.
"""

# ruff: noqa: E501 - statements stand on one line each

from __future__ import annotations

from datetime import timedelta

SETUP = """
CREATE TABLE c (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30) NOT NULL, email VARCHAR2(40) UNIQUE,
  credit NUMBER(10,2) DEFAULT 0 CHECK (credit >= 0)) DISTRIBUTE BY HASH (id);
CREATE TABLE a (aid NUMBER(10) NOT NULL PRIMARY KEY, cid NUMBER(10) NOT NULL, kind CHAR(1), bal NUMBER(10,2),
  CONSTRAINT fa FOREIGN KEY (cid) REFERENCES c (id) ON DELETE CASCADE) DISTRIBUTE BY REFERENCE (fa);
CREATE TABLE k (kind CHAR(1) PRIMARY KEY, descr VARCHAR2(20)) DUPLICATE;
CREATE TABLE n (id INT, t VARCHAR2(20), v INT);
CREATE TABLE d (id INT PRIMARY KEY, f BINARY_DOUBLE, b VARBINARY(10), x NUMBER, dt DATE);
CREATE SEQUENCE s START WITH 5;
INSERT INTO c VALUES (1,'Ann','ann@x',10),(2,'Bob',NULL,20),(3,'Cem','cem@x',30),(4,'Dan',NULL,40),(5,'Eve','eve@x',50),(6,'Fay',NULL,60.5),(7,'Gus',NULL,7);
INSERT INTO a VALUES (10,1,'S',5),(11,1,'C',6),(12,2,'S',7),(13,3,NULL,8),(14,4,'X',9),(15,7,'C',10.25),(16,7,'S',0);
INSERT INTO k VALUES ('S','Savings'),('C','Current');
INSERT INTO d (id, f, x) VALUES (1, 0.1, 123.5),(2, 12345678.5, NULL),(3, NULL, -1.25);
INSERT INTO n VALUES (1,'a',10),(2,'a',20),(3,'b',30),(4,'b',NULL),(5,'c',50),(6,NULL,60),(7,'c',50);
"""
WITHOUT = {  # what SQLite does not know
    " DISTRIBUTE BY HASH (id)": "",
    " DISTRIBUTE BY REFERENCE (fa)": "",
    " DUPLICATE": "",
    "CREATE SEQUENCE s START WITH 5": "SELECT 1",
}

SAME: list[str | tuple[str, str]] = [
    # conditions
    "SELECT id FROM c WHERE name NOT LIKE 'A%'",
    r"SELECT id FROM c WHERE name LIKE 'A\%' ESCAPE '\' OR name NOT LIKE '%n' ESCAPE '\'",
    ("SELECT id FROM c WHERE id BETWEEN SYMMETRIC 3 AND 1", "SELECT id FROM c WHERE id BETWEEN 1 AND 3"),
    ("SELECT id FROM c WHERE id NOT BETWEEN SYMMETRIC 3 AND 1", "SELECT id FROM c WHERE id NOT BETWEEN 1 AND 3"),
    "SELECT id FROM c WHERE (id, name) > (2, 'A')",
    "SELECT id FROM c WHERE (id, name) <= (3, 'Cem')",
    "SELECT id FROM c WHERE (id, name) IN (SELECT cid, 'Ann' FROM a)",
    ("SELECT id FROM c WHERE (id, name) IN ((1, 'Ann'), (2, 'x'))", "SELECT id FROM c WHERE id = 1"),
    "SELECT id FROM c WHERE email IS DISTINCT FROM 'ann@x'",
    ("SELECT id FROM c WHERE id = ANY (1, 2)", "SELECT id FROM c WHERE id IN (1, 2)"),
    ("SELECT id FROM c WHERE id > ALL (1, 2)", "SELECT id FROM c WHERE id > 2"),
    ("SELECT id FROM c WHERE id = ANY (ARRAY[1, 2])", "SELECT id FROM c WHERE id IN (1, 2)"),
    ("SELECT id FROM c WHERE id >= ALL (SELECT cid FROM a)", "SELECT id FROM c WHERE id >= 7"),
    # joins
    "SELECT * FROM c NATURAL JOIN (SELECT id, v FROM n)",
    "SELECT id, v FROM c LEFT JOIN n USING (id)",
    "SELECT id, t, name FROM c FULL JOIN n USING (id)",
    "SELECT * FROM (a JOIN c ON a.cid = c.id) JOIN k ON a.kind = k.kind",
    "SELECT * FROM c JOIN (a JOIN k ON a.kind = k.kind) ON a.cid = c.id",
    "SELECT c.id, a.aid, k.descr FROM c LEFT JOIN (a JOIN k ON a.kind = k.kind) ON a.cid = c.id",
    ("SELECT c.id, a.aid, k.descr FROM c, a, k WHERE c.id = a.cid(+) AND a.kind = k.kind(+)",
     "SELECT c.id, a.aid, k.descr FROM c LEFT JOIN a ON c.id = a.cid LEFT JOIN k ON a.kind = k.kind"),
    ("SELECT c.id, a.aid FROM c, a WHERE c.id = a.cid(+) AND a.bal(+) > 5 AND c.id < 6",
     "SELECT c.id, a.aid FROM c LEFT JOIN a ON c.id = a.cid AND a.bal > 5 WHERE c.id < 6"),
    ("SELECT i FROM c AS x (i, nn) WHERE nn LIKE '%n'", "SELECT id FROM c WHERE name LIKE '%n'"),
    # LATERAL: SQLite has none, so the same by a subquery or a window
    ("SELECT c.id, x.b FROM c, LATERAL (SELECT max(bal) AS b FROM a WHERE a.cid = c.id) x",
     "SELECT c.id, (SELECT max(bal) FROM a WHERE a.cid = c.id) FROM c"),
    ("SELECT c.id, x.aid, x.bal FROM c CROSS APPLY (SELECT aid, bal FROM a WHERE a.cid = c.id ORDER BY bal DESC FETCH FIRST 1 ROW ONLY) x",
     "SELECT cid, aid, bal FROM (SELECT a.*, row_number() OVER (PARTITION BY cid ORDER BY bal DESC) r FROM a) WHERE r = 1"),
    ("SELECT c.id, x.v FROM c OUTER APPLY (SELECT v FROM n WHERE n.id = c.id AND v > 20) x",
     "SELECT c.id, n.v FROM c LEFT JOIN n ON n.id = c.id AND n.v > 20"),
    ("SELECT c.id, x.v FROM c LEFT JOIN LATERAL (SELECT v FROM n WHERE n.id < c.id ORDER BY id DESC LIMIT 2) x ON x.v > 15",
     "SELECT c.id, n.v FROM c LEFT JOIN n ON n.id < c.id AND n.id >= c.id - 2 AND n.v > 15"),
    ("SELECT c.id, g FROM c, generate_series(1, c.id) g WHERE g > 2",
     "SELECT c.id, n.id FROM c, n WHERE n.id <= c.id AND n.id > 2"),
    # functions and VALUES in FROM
    ("SELECT x * 2 FROM generate_series(1, 9, 4) AS g (x)", "VALUES (2), (10), (18)"),
    ("SELECT g FROM generate_series(3, 1, -1) g", "VALUES (3), (2), (1)"),
    ("SELECT u, o FROM unnest(ARRAY['x', 'y']) WITH ORDINALITY w (u, o)", "VALUES ('x', 1), ('y', 2)"),
    ("SELECT v.x, c.name FROM (VALUES (1, 'a'), (2, 'b')) v (x, y) JOIN c ON c.id = v.x", "SELECT id, name FROM c WHERE id < 3"),
    # ROWNUM and row limits
    ("SELECT id, ROWNUM AS r FROM (SELECT id FROM c ORDER BY id DESC) WHERE ROWNUM <= 2", "VALUES (7, 1), (6, 2)"),
    ("SELECT name FROM (SELECT name, credit FROM c ORDER BY credit DESC) WHERE ROWNUM <= 3 AND name <> 'Eve'",
     "SELECT name FROM c WHERE name <> 'Eve' ORDER BY credit DESC LIMIT 3"),
    ("SELECT * FROM (SELECT q.*, ROWNUM AS r FROM (SELECT id FROM c ORDER BY credit) q WHERE ROWNUM <= 4) WHERE r > 2",
     "SELECT * FROM (SELECT id, row_number() OVER (ORDER BY credit) r FROM c) WHERE r IN (3, 4)"),
    ("SELECT count(*), max(id) FROM (SELECT id FROM c ORDER BY id) WHERE ROWNUM < 4", "VALUES (3, 3)"),
    ("SELECT id FROM (SELECT id FROM c ORDER BY id) WHERE ROWNUM BETWEEN 1 AND 2", "VALUES (1), (2)"),
    ("SELECT count(*) FROM c WHERE ROWNUM < 3", "SELECT 2"),
    ("SELECT id FROM c WHERE ROWNUM > 1", "SELECT 1 WHERE 0"),
    ("SELECT id FROM c ORDER BY id OFFSET 1 ROW FETCH NEXT 2 ROWS ONLY", "SELECT id FROM c ORDER BY id LIMIT 2 OFFSET 1"),
    ("SELECT ROWS 2 TO 3 id FROM c ORDER BY id", "SELECT id FROM c ORDER BY id LIMIT 2 OFFSET 1"),
    ("SELECT id FROM c ORDER BY id LIMIT ALL OFFSET 5", "SELECT id FROM c ORDER BY id LIMIT -1 OFFSET 5"),
    # groups
    "SELECT sum(v) FROM n HAVING count(*) > 3",
    "SELECT t FROM n GROUP BY t HAVING sum(v) > 40",
    ("SELECT 1 FROM n HAVING count(*) > 30", "SELECT 1 WHERE 0"),
    ("SELECT t, v, count(*), GROUPING(t), GROUPING_ID(t, v) FROM n GROUP BY ROLLUP (t, v)",
     "SELECT t, v, count(*), 0, 0 FROM n GROUP BY t, v UNION ALL SELECT t, NULL, count(*), 0, 1 FROM n GROUP BY t UNION ALL SELECT NULL, NULL, count(*), 1, 3 FROM n"),
    ("SELECT t, sum(v) FROM n GROUP BY ROLLUP (t) HAVING GROUPING(t) = 1", "SELECT NULL, sum(v) FROM n"),
    ("SELECT t, GROUP_ID() FROM n GROUP BY GROUPING SETS (t, t)",
     "SELECT DISTINCT t, 0 FROM n UNION ALL SELECT DISTINCT t, 1 FROM n"),
    ("SELECT t, sum(v), rank() OVER (ORDER BY sum(v) DESC) FROM n GROUP BY CUBE (t)",
     "SELECT t, s, rank() OVER (ORDER BY s DESC) FROM (SELECT t, sum(v) AS s FROM n GROUP BY t UNION ALL SELECT NULL, sum(v) FROM n)"),
    ("SELECT DISTINCT count(*) FROM n GROUP BY CUBE (t, v)",
     "SELECT count(*) FROM n GROUP BY t, v UNION SELECT count(*) FROM n GROUP BY t UNION SELECT count(*) FROM n GROUP BY v UNION SELECT count(*) FROM n"),
    ("SELECT t FROM n GROUP BY ROLLUP (t) ORDER BY GROUPING(t) DESC, sum(v) DESC FETCH FIRST 1 ROW ONLY", "SELECT NULL"),
    "SELECT t, sum(sum(v)) OVER (ORDER BY t NULLS LAST) FROM n GROUP BY t",
    # ranks as row limits, sets that count
    ("SELECT DISTINCT ON (t) t, v FROM n ORDER BY t, v DESC NULLS LAST", "SELECT t, max(v) FROM n GROUP BY t"),
    ("SELECT DISTINCT ON (t) id FROM n ORDER BY t, id DESC LIMIT 2", "VALUES (2), (4)"),
    ("SELECT id FROM c INTERSECT ALL SELECT cid FROM a", "VALUES (1), (2), (3), (4), (7)"),
    ("SELECT cid FROM a MINUS ALL SELECT id FROM c", "VALUES (1), (7)"),
    ("SELECT id FROM c ORDER BY id FETCH FIRST 40 PERCENT ROWS ONLY", "VALUES (1), (2), (3)"),
    ("SELECT id FROM c ORDER BY id OFFSET 1 ROW FETCH NEXT 12.5 PERCENT ROWS ONLY", "VALUES (2)"),
    ("SELECT t, id FROM n ORDER BY t FETCH FIRST 1 ROW WITH TIES", "SELECT t, id FROM n WHERE t = 'a'"),
    ("SELECT v FROM n WHERE v > 0 ORDER BY v DESC OFFSET 1 ROW FETCH NEXT 1 ROW WITH TIES", "SELECT v FROM n WHERE v = 50"),
    ("SELECT t, count(*) FROM n GROUP BY t ORDER BY 2 DESC FETCH FIRST 1 ROW WITH TIES",
     "SELECT t, count(*) FROM n GROUP BY t HAVING count(*) = 2"),
    # analytic functions
    "SELECT id, sum(v) OVER (ORDER BY id ROWS 1 PRECEDING) FROM n",
    "SELECT id, sum(v) OVER (ORDER BY id GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM n",
    "SELECT id, sum(v) OVER (ORDER BY v NULLS LAST RANGE BETWEEN 15 PRECEDING AND 5 FOLLOWING) FROM n",
    "SELECT id, sum(credit) OVER (ORDER BY credit RANGE BETWEEN 10.5 PRECEDING AND CURRENT ROW) FROM c",
    "SELECT id, sum(v) OVER w, rank() OVER w, count(*) OVER (w ROWS 1 PRECEDING) FROM n WINDOW w AS (PARTITION BY t ORDER BY id)",
    "SELECT id, first_value(v) OVER (ORDER BY id), last_value(v) OVER (ORDER BY id), nth_value(v, 2) OVER (ORDER BY id) FROM n",
    "SELECT id, lag(v, 1, 0) OVER (ORDER BY id), lead(v) OVER (PARTITION BY t ORDER BY id) FROM n",
    "SELECT id, cume_dist() OVER (ORDER BY t NULLS LAST), percent_rank() OVER (ORDER BY t NULLS LAST), ntile(3) OVER (ORDER BY id) FROM n",
    ("SELECT id, LAST_VALUE(v) IGNORE NULLS OVER (ORDER BY id) FROM n",
     "SELECT id, coalesce(v, lag(v) OVER (ORDER BY id)) FROM n"),
    ("SELECT id, LAG(v) IGNORE NULLS OVER (ORDER BY id) FROM n WHERE id IN (3, 4, 5)", "VALUES (3, NULL), (4, 30), (5, 30)"),
    ("SELECT id, NTH_VALUE(v, 2) FROM LAST OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM n WHERE id < 3",
     "VALUES (1, 10), (2, 10)"),
    ("SELECT id, ROUND(RATIO_TO_REPORT(v) OVER (PARTITION BY t), 6) FROM n",
     "SELECT id, round(1.0 * v / sum(v) OVER (PARTITION BY t), 6) FROM n"),
    ("SELECT id, COUNT(DISTINCT v) OVER (PARTITION BY t) FROM n",
     "SELECT id, (SELECT count(DISTINCT v) FROM n x WHERE x.t IS n.t) FROM n"),
    ("SELECT id, LISTAGG(id, '-') WITHIN GROUP (ORDER BY id DESC) OVER (PARTITION BY t) FROM n WHERE t <> 'c'",
     "VALUES (1, '2-1'), (2, '2-1'), (3, '4-3'), (4, '4-3')"),
    ("SELECT LISTAGG(DISTINCT t, ',') WITHIN GROUP (ORDER BY t DESC) FROM n", "SELECT 'c,b,a'"),
    ("SELECT LISTAGG(t, ',' ON OVERFLOW TRUNCATE '...' WITH COUNT) WITHIN GROUP (ORDER BY id) FROM n", "SELECT 'a,a,b,b,c,c'"),
    ("SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY v), PERCENTILE_DISC(0.25) WITHIN GROUP (ORDER BY v DESC), MEDIAN(v) FROM n", "VALUES (40, 50, 40)"),
    ("SELECT MAX(v) KEEP (DENSE_RANK FIRST ORDER BY t), MIN(v) KEEP (DENSE_RANK LAST ORDER BY t NULLS FIRST) FROM n", "VALUES (20, 50)"),
    ("SELECT id FROM c WHERE name SIMILAR TO '(A|B)%'", "VALUES (1), (2)"),
    # WITH
    ("WITH r(x) AS (SELECT 1 FROM dual UNION ALL SELECT x / 2 FROM r WHERE x > 0.2) SELECT * FROM r", "VALUES (1), (0.5), (0.25), (0.125)"),
    ("WITH r(x, y) AS (SELECT credit, 1 FROM c WHERE id = 1 UNION ALL SELECT x * 1.5, y + 1 FROM r WHERE x < 20) SELECT * FROM r",
     "VALUES (10, 1), (15, 2), (22.5, 3)"),
    ("SELECT x FROM (SELECT CAST(1.5 AS NUMBER(10,2)) AS x FROM dual) p FULL JOIN (SELECT CAST(2 AS INT) AS x FROM dual) q USING (x)", "VALUES (1.5), (2)"),
    ("SELECT g FROM generate_series(1, 2, 0.5) g", "VALUES (1), (1.5), (2)"),
    ("SELECT c.id, y.v FROM c CROSS JOIN LATERAL (VALUES (c.id * 2), (c.id * 3)) y (v)", "SELECT id, id * 2 FROM c UNION ALL SELECT id, id * 3 FROM c"),
    ("SELECT c.name, z.q FROM c, LATERAL (SELECT n.t AS q FROM n WHERE n.id = c.id UNION ALL SELECT 'x' FROM dual) z",
     "SELECT c.name, n.t FROM c JOIN n ON n.id = c.id UNION ALL SELECT name, 'x' FROM c"),
    ("SELECT d.id, x.f, x.b, x.x FROM d LEFT JOIN LATERAL (SELECT e.* FROM d e WHERE e.id = d.id) x ON 1 = 1",
     "SELECT id, f, b, x FROM d"),
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION SELECT (x * 2) % 7 FROM r) SELECT * FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 4) SELECT sum(x) FROM r",
    "WITH RECURSIVE r(id) AS (SELECT id FROM c WHERE id = 1 UNION ALL SELECT c.id FROM c, r WHERE c.id = r.id + 1) SELECT * FROM r",
]  # fmt: skip

Rows = list[tuple[object, ...]]
GIVES: list[tuple[str, Rows | str]] = [
    ("SELECT sum(v) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND CURRENT ROW) FROM n", "42601"),
    ("SELECT DISTINCT ON (t) id FROM n ORDER BY id", "42601"),
    ("SELECT s.NEXTVAL + id, s.CURRVAL FROM (SELECT id FROM c ORDER BY id) WHERE ROWNUM < 3", [(6, 5), (8, 6)]),
    ("SELECT DISTINCT s.NEXTVAL FROM c", "0A000"),
    ("SELECT id FROM c WHERE id = s.NEXTVAL", "0A000"),
    # MERGE
    ("MERGE INTO c USING (SELECT 1 AS id, 'Anna' AS name FROM dual UNION ALL SELECT 8, 'Hal' FROM dual) x ON (c.id = x.id) "
     "WHEN MATCHED THEN UPDATE SET name = x.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (x.id, x.name)", "MERGE 2"),
    ("SELECT id, name, credit FROM c WHERE id IN (1, 8)", [(1, "Anna", 10), (8, "Hal", 0)]),
    ("MERGE INTO c t USING n x ON (t.id = x.id) WHEN MATCHED THEN UPDATE SET t.credit = t.credit + 100, name = x.t "
     "WHERE x.id < 5 DELETE WHERE t.credit > 135 WHEN NOT MATCHED THEN INSERT (id, name) VALUES (x.id, x.t)", "MERGE 4"),
    ("SELECT id, name, credit FROM c WHERE id < 6", [(1, "a", 110), (2, "a", 120), (3, "b", 130), (5, "Eve", 50)]),
    ("SELECT aid FROM a WHERE cid = 4", []),
    ("MERGE INTO c USING dual ON (c.id = 2) WHEN MATCHED THEN UPDATE SET name = 'two' WHEN NOT MATCHED THEN INSERT (id, name) VALUES (2, 'new') "
     "RETURNING id, upper(name)", [(2, "TWO")]),
    ("MERGE INTO c USING dual ON (c.id = 22) WHEN MATCHED THEN UPDATE SET name = 'two' WHEN NOT MATCHED THEN INSERT (id, name) VALUES (22, 'new') "
     "RETURNING id, name", [(22, "new")]),
    ("MERGE INTO n USING c ON (n.id = c.id) WHEN MATCHED AND n.v > 15 THEN DELETE WHEN MATCHED THEN UPDATE SET v = -1 "
     "WHEN NOT MATCHED AND c.id = 8 THEN INSERT VALUES (c.id, c.name, s.NEXTVAL * 2)", "MERGE 7"),
    ("SELECT * FROM n", [(1, "a", -1), (4, "b", None), (8, "Hal", 14)]),
    ("MERGE INTO c USING a ON (c.id = a.cid) WHEN MATCHED THEN UPDATE SET credit = 0", "21000"),
    ("MERGE INTO c USING (SELECT cid, sum(bal) AS b FROM a GROUP BY cid) x ON (c.id = x.cid) WHEN MATCHED THEN UPDATE SET credit = x.b", "MERGE 4"),
    ("SELECT id, credit FROM c WHERE credit BETWEEN 7 AND 12", [(1, 11), (2, 7), (3, 8), (7, 10.25)]),
    ("MERGE INTO a USING dual ON (a.aid = 10) WHEN MATCHED THEN UPDATE SET cid = 2 RETURNING aid, cid", [(10, 2)]),
    ("MERGE INTO c USING (SELECT 22 AS id FROM dual) x ON (c.id = x.id) WHEN MATCHED THEN UPDATE SET id = 23 RETURNING id", [(23,)]),
    ("WITH q AS (SELECT 23 AS id FROM dual) MERGE INTO c USING q ON (c.id = q.id) WHEN MATCHED THEN DELETE RETURNING id", [(23,)]),
    ("MERGE INTO k USING (SELECT 'Z' AS kind FROM dual) x ON (k.kind = x.kind) WHEN NOT MATCHED THEN INSERT VALUES (x.kind, 'zed') RETURNING descr", [("zed",)]),
    ("SELECT replicasetid#, descr FROM k WHERE kind = 'Z' AND 1 = 0", []),
    ("MERGE INTO c USING (SELECT 1 AS id FROM dual) x ON (c.id = x.id) WHEN NOT MATCHED BY SOURCE THEN DELETE", "0A000"),
    ("MERGE INTO c USING (SELECT 5 AS id FROM dual) x ON (c.id = x.id) WHEN MATCHED THEN UPDATE SET credit = 1 / (c.id - 5)", "22012"),
    ("MERGE INTO c USING (SELECT 90 AS id FROM dual) x ON (c.id = x.id) WHEN MATCHED THEN UPDATE SET credit = 1 / (x.id - 90) "
     "WHEN NOT MATCHED THEN INSERT (id, name, email) VALUES (90, 'x', 'eve@x')", "23505"),
    # sequences in the rows of a query
    ("INSERT INTO n (id, t) SELECT s.NEXTVAL + 500, s.NEXTVAL || '-' || t FROM n WHERE id = 1 RETURNING id, t", [(508, "8-a")]),
    ("INSERT INTO n (id, v) VALUES (s.NEXTVAL + 600, s.NEXTVAL), (s.NEXTVAL + 600, 0) RETURNING id, v", [(609, 9), (610, 0)]),
    ("WITH q AS (SELECT 700 AS id FROM dual) INSERT INTO n (id) SELECT id FROM q RETURNING id", [(700,)]),
    ("UPDATE n SET v = s.NEXTVAL * 10, t = s.CURRVAL WHERE id = 1 RETURNING v, t", [(110, "11")]),
    # ON CONFLICT
    ("INSERT INTO c (id, name, email) VALUES (99, 'x', 'eve@x') ON CONFLICT (email) DO UPDATE SET name = EXCLUDED.name RETURNING id, name", [(5, "x")]),
    ("INSERT INTO c (id, name, email) VALUES (1, 'p', NULL), (2, 'q', NULL), (99, 'r', 'r@x') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name WHERE c.id > 1 "
     "RETURNING id, name, credit", [(2, "q", 7), (99, "r", 0)]),
    ("INSERT INTO a VALUES (12, 12345, 'S', 70) ON CONFLICT (aid) DO UPDATE SET bal = a.bal + EXCLUDED.bal RETURNING cid, bal", [(2, 77)]),
    ("INSERT INTO a VALUES (12, 3, 'S', 1) ON CONFLICT (aid) DO UPDATE SET cid = EXCLUDED.cid RETURNING cid, bal", [(3, 77)]),
    ("INSERT INTO a VALUES (98, 12345, 'S', 70) ON CONFLICT (aid) DO UPDATE SET bal = 0", "23503"),
    ("INSERT INTO c AS old (id, name) SELECT id, 'again' FROM c WHERE id = 99 ON CONFLICT (id) DO UPDATE SET name = old.name || EXCLUDED.name RETURNING old.name", [("ragain",)]),
    ("INSERT INTO c (id, name) VALUES (97, 'x'), (97, 'y') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name", "21000"),
    ("INSERT INTO c (id, name) VALUES (96, 'x'), (96, 'y'), (99, 'z') ON CONFLICT DO NOTHING RETURNING id", [(96,)]),
    ("INSERT INTO k VALUES ('Z', '+') ON CONFLICT (kind) DO UPDATE SET descr = k.descr || EXCLUDED.descr RETURNING descr", [("zed+",)]),
    ("INSERT INTO c (id, name) VALUES (5, 'e') ON CONFLICT (id) DO UPDATE SET id = 95 RETURNING id, email", [(95, "eve@x")]),
    # joins and limits in changes, RETURNING of what was joined
    ("UPDATE c SET credit = credit + x.bal FROM a x WHERE x.cid = c.id AND x.aid = 13 RETURNING c.id, credit, x.aid, x.bal * 2", [(3, 16, 13, 16)]),
    ("DELETE FROM n USING c WHERE c.id = n.id AND c.id = 8 RETURNING n.id, c.name", [(8, "Hal")]),
    ("MERGE INTO c USING (SELECT 99 AS id, 'w' AS w FROM dual UNION ALL SELECT 94, 'v' FROM dual) x ON (c.id = x.id) "
     "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, name) VALUES (x.id, x.w) RETURNING c.id, x.w", [(99, "w"), (94, "v")]),
    ("UPDATE c SET name = 'one' WHERE id > 90 AND ROWNUM <= 1", "UPDATE 1"),
    ("UPDATE FIRST 2 c SET name = 'two' WHERE id > 90", "UPDATE 2"),
    ("UPDATE a SET bal = ROWNUM WHERE aid IN (13, 15) RETURNING bal", [(1,), (2,)]),
    ("INSERT ALL INTO n (id) VALUES (1) SELECT * FROM dual", "0A000"),
    ("DELETE FROM n WHERE ROWNUM < 2", "DELETE 1"),
    ("DELETE FIRST 1 FROM n", "DELETE 1"),
    ("DELETE FROM c WHERE id = 94 RETURNING id, name INTO :a, :b", [(94, "two")]),
    ("INSERT INTO n DEFAULT VALUES RETURNING *", [(None, None, None)]),
    ("INSERT INTO n SELECT id, 'again', v FROM n WHERE id IS NULL", "INSERT 0 1"),
    # refused by name
    ("WITH gone AS (DELETE FROM n RETURNING id) SELECT * FROM gone", "0A000"),
    ("UPDATE (SELECT name FROM c) SET name = 'x'", "0A000"),
    ("DELETE FROM (SELECT name FROM c)", "0A000"),
    ("INSERT INTO (SELECT id, name FROM c) VALUES (1, 'x')", "0A000"),
    ("UPDATE c SET name = 'x' WHERE CURRENT OF cur", "0A000"),
    ("INSERT INTO c (id, name) VALUES (1, 'e') ON CONFLICT (id) DO UPDATE SET name = (SELECT max(descr) FROM k)", "0A000"),
    ("SELECT id, TRUNC(id), count(*) FROM c GROUP BY CUBE (id, TRUNC(id))", "0A000"),
    ("SELECT CAST('1 02:03:04' AS INTERVAL DAY TO SECOND) FROM dual", [(timedelta(days=1, hours=2, minutes=3, seconds=4),)]),
    ("CREATE TABLE x (id INT PRIMARY KEY, user INT)", "42601"),
    ("CREATE TABLE x (id INT PRIMARY KEY, \"elementid#\" INT)", "42601"),
    ("CREATE TABLE x (id INT PRIMARY KEY, uid INT, \"USER\" INT)", "CREATE TABLE"),
    ("ALTER TABLE x RENAME COLUMN uid TO sysdate", "42601"),
    ("INSERT INTO x (id, uid, \"USER\") VALUES (1, 7, 8)", "INSERT 0 1"),
    ("UPDATE x SET uid = uid + 2 WHERE uid = 7 RETURNING uid", [(9,)]),
    ("SELECT uid, x.uid, \"USER\", (SELECT uid FROM dual) FROM x ORDER BY uid", [(9, 9, 8, 9)]),
    ("SELECT uid > 10000, uid() > 10000, user FROM dual", [(True, True, "TERRY")]),
    ("DROP TABLE x", "DROP TABLE"),
    (r"SELECT E'\x41' || E'\101' || E'\u00e9' || E'\xc3\xa9' || E'\U0001F600' || E'a\tb' FROM dual", [("AAéé😀a\tb",)]),
    (r"SELECT E'it\'s', 'x\', E'', E'\'', E'''', E'\\', e'a''b\'c''' FROM dual WHERE 'y\' <> E'\'y'", [("it's", "x\\", None, "'", "'", "\\", "a'b'c'")]),
    (r"SELECT E'\xff' FROM dual", "22P02"),
    (r"SELECT E'a\000b' FROM dual", "22P02"),
    ("SELECT 1 2, 3 FROM dual", "42601"),
    ("SELECT 'a' 'b' FROM dual", "42601"),
    ("SELECT id 'x' FROM c", "42601"),
    ("SELECT id FROM c WHERE id IN (1 2)", "42601"),
    ("UPDATE c SET name = 'a' 'b' WHERE id = 1", "42601"),
    ("SELECT rowid FROM c", "0A000"),
    ("SELECT HEXTORAW('abc'), HEXTORAW('') FROM dual", [(b"\x0a\xbc", None)]),
    ("SELECT HEXTORAW('0 1') FROM dual", "22P02"),
    ("SELECT TO_CHAR(1234.5, '9G999D9', 'NLS_NUMERIC_CHARACTERS='',.''') FROM dual", "0A000"),
    ("SELECT TO_NUMBER('1.5', '9D9', 'NLS_NUMERIC_CHARACTERS=''.,''') FROM dual", [(1.5,)]),
    ("SELECT TO_CHAR(DATE '2024-02-01', 'fmMonth', 'NLS_DATE_LANGUAGE = German') FROM dual", "0A000"),
    ("SELECT TO_CHAR(DATE '2024-02-01', 'fmMonth', 'NLS_DATE_LANGUAGE = American') FROM dual", [("February",)]),
    ("SELECT id FROM n QUALIFY row_number() OVER (ORDER BY id) = 1", "0A000"),
    ("SELECT * FROM n PIVOT (sum(v) FOR t IN ('a', 'b'))", "0A000"),
    ("SELECT id FROM c CONNECT BY PRIOR id = id", "0A000"),
    ("SELECT id INTO x FROM c", "0A000"),
    ("SELECT * FROM TABLE(f(1))", "0A000"),
    # what is not allowed with (+)
    ("SELECT c.id FROM c, a WHERE c.id(+) = a.cid(+)", "42601"),
    ("SELECT c.id FROM c, a WHERE c.id = a.cid(+) OR a.bal(+) > 5", "42601"),
    ("SELECT c.id FROM c, a WHERE a.cid(+) = (SELECT 1 FROM dual)", "42601"),
    ("SELECT c.id FROM c JOIN a ON c.id = a.cid(+)", "42601"),
    ("SELECT c.id FROM c, a WHERE c.id = a.cid(+) AND c.id(+) = a.aid", "42601"),
]  # fmt: skip
