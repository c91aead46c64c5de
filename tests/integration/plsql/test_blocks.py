"""PL/SQL blocks, construct by construct: what they print, what they do to rows, how they fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRINTED: dict[str, tuple[str, list[str]]] = {
    "floats": (
        """DECLARE d BINARY_DOUBLE := 0; f BINARY_FLOAT := 1; g BINARY_FLOAT; n NUMBER := 0.1;
             big BINARY_FLOAT := 1e38; x BINARY_DOUBLE; BEGIN
             dbms_output.put_line(1/d || ' ' || -1/d || ' ' || d/d || ' ' || 1f/0);
             g := f / 3; dbms_output.put_line(g || ' ' || 1f/3 || ' ' || g * 1d);
             big := big * 10; dbms_output.put_line(big);
             SELECT BINARY_DOUBLE_NAN, g INTO x, f FROM dual;
             IF x = x AND x > 1/d AND f = g THEN dbms_output.put_line(x || ' ' || f); END IF;
             IF n = 0.1d THEN dbms_output.put_line('as floats'); END IF;
             dbms_output.put_line(MOD(5.5d, 2) || ' ' || POWER(2f, 0.5) || ' ' || ROUND(2.567d, 1)
                                  || ' ' || -f || ' ' || CEIL(1.2d) || ' ' || SQRT(-1d));
             d := 'Nan'; n := 1.5f; dbms_output.put_line(d || ' ' || n);
           END;""",
        [
            "Infinity -Infinity NaN Infinity",
            "0.33333334 0.33333334 0.3333333432674408",
            "Infinity",
            "NaN 0.33333334",
            "as floats",
            "1.5 1.4142135 2.6 -0.33333334 2 NaN",
            "NaN 1.5",
        ],
    ),
    "numeric overflow": (
        """DECLARE n NUMBER; i PLS_INTEGER; p POSITIVE := 1; BEGIN
             BEGIN n := BINARY_DOUBLE_INFINITY; EXCEPTION WHEN OTHERS THEN
               dbms_output.put_line(SQLERRM); END;
             BEGIN i := 2147483648; EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE); END;
             BEGIN i := BINARY_FLOAT_NAN; EXCEPTION WHEN OTHERS THEN
               dbms_output.put_line(SQLCODE); END;
             BEGIN p := -1; EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE); END; END;""",
        ["ORA-01426: numeric overflow", "-1426", "-1426", "-6502"],
    ),
    "functions of SQL that plan by an argument": (
        """DECLARE unit VARCHAR2(10) := 'MINUTE'; d DATE := DATE '2026-01-01'; BEGIN
             dbms_output.put_line(TO_CHAR(d + NUMTODSINTERVAL(1, 'HOUR'), 'HH24:MI'));
             dbms_output.put_line(TO_CHAR(d + NUMTODSINTERVAL(5, unit), 'HH24:MI'));
             dbms_output.put_line(TO_CHAR(d + NUMTOYMINTERVAL(1, 'YEAR'), 'YYYY'));
             dbms_output.put_line(TO_CHAR(DATE_TRUNC('month', DATE '2026-01-31'), 'DD'));
             dbms_output.put_line(SYS_CONTEXT('USERENV', 'SESSION_USER') || USERENV('LANG'));
           END;""",
        ["01:00", "00:05", "2027", "01", "TERRYUS"],
    ),
    "functions of SQL that are written in their own way": (
        """DECLARE t TIMESTAMP := TIMESTAMP '2026-01-01 00:00:00'; x BINARY_DOUBLE; j CLOB; BEGIN
             dbms_output.put_line(TO_CHAR(TIMESTAMPADD(SQL_TSI_DAY, 2, t), 'DD'));
             dbms_output.put_line(TIMESTAMPDIFF(SQL_TSI_HOUR, t, t + INTERVAL '3' HOUR));
             dbms_output.put_line(SESSIONTIMEZONE || DBTIMEZONE || LENGTH(SYS_GUID()));
             x := BINARY_DOUBLE_NAN;
             IF x IS NAN AND x IS NOT INFINITE THEN dbms_output.put_line('nan'); END IF;
             x := BINARY_DOUBLE_INFINITY;
             IF x IS INFINITE AND NOT x IS NAN THEN dbms_output.put_line('infinite'); END IF;
             x := NULL;
             IF x IS NAN OR x IS NOT NAN THEN NULL; ELSE dbms_output.put_line('null'); END IF;
             j := JSON_OBJECT('a' VALUE 1);
             IF j IS JSON AND 'no' IS NOT JSON THEN dbms_output.put_line(j); END IF;
           END;""",
        ["03", "3", "+00:00+00:0032", "nan", "infinite", "null", '{"a" : 1}'],
    ),
    "arithmetic": (
        "BEGIN dbms_output.put_line(1/4 || ' ' || 2*3 || ' ' || (0.1+0.2) || ' ' || 2**10); END;",
        ["0.25 6 0.3 1024"],
    ),
    "put and new_line": (
        "BEGIN dbms_output.put('a'); dbms_output.put(1); dbms_output.new_line; "
        "dbms_output.put('rest'); END;",
        ["a1", "rest"],
    ),
    "variables": (
        """DECLARE n NUMBER(10,2) := 3.14159; s VARCHAR2(20) := 'x';
             d DATE := DATE '2024-01-31';
             c CONSTANT PLS_INTEGER := 7;
           BEGIN n := n * 2 + c; s := s || 'y'; d := d + 1;
             IF n > 13 THEN dbms_output.put_line(n || s || TO_CHAR(d, 'DD.MM.YYYY')); END IF;
           END;""",
        ["13.28xy01.02.2024"],
    ),
    "char is padded": (
        """DECLARE c CHAR(5) := 'ab'; BEGIN
             dbms_output.put_line('[' || c || ']' || LENGTH(c));
             IF c = 'ab' THEN dbms_output.put_line('equal'); END IF; END;""",
        ["[ab   ]5", "equal"],
    ),
    "null": (
        """DECLARE n NUMBER; b BOOLEAN; BEGIN
             IF n = n THEN dbms_output.put_line('yes');
             ELSE dbms_output.put_line('unknown'); END IF;
             IF '' IS NULL AND NOT (n IS NOT NULL) THEN dbms_output.put_line('null'); END IF;
             dbms_output.put_line(NVL(n + 1, -1) || NVL2(n, 'a', 'b') || COALESCE(n, 5)); END;""",
        ["unknown", "null", "-1b5"],
    ),
    "loops": (
        """DECLARE t NUMBER := 0; BEGIN
             FOR i IN 1..10 LOOP CONTINUE WHEN MOD(i,2)=0; t := t + i; END LOOP;
             <<outer>> FOR i IN REVERSE 1..3 LOOP
               FOR j IN 1..3 LOOP EXIT outer WHEN i*j=4; t := t + 100; END LOOP; END LOOP;
             WHILE t < 1000 LOOP t := t * 2; END LOOP;
             LOOP t := t - 1; EXIT WHEN t < 900; END LOOP; dbms_output.put_line(t); END;""",
        ["899"],
    ),
    "case": (
        """DECLARE g CHAR(1) := 'B'; BEGIN
             CASE g WHEN 'A' THEN dbms_output.put_line('a');
             WHEN 'B' THEN dbms_output.put_line('b'); END CASE;
             CASE WHEN g > 'A' THEN NULL; ELSE dbms_output.put_line('no'); END CASE;
             dbms_output.put_line(CASE WHEN g IN ('B','C') THEN 'in' ELSE 'out' END);
             BEGIN CASE g WHEN 'X' THEN NULL; END CASE;
             EXCEPTION WHEN CASE_NOT_FOUND THEN dbms_output.put_line(SQLCODE); END; END;""",
        ["b", "in", "-6592"],
    ),
    "functions of SQL": (
        """BEGIN dbms_output.put_line(UPPER('up') || SUBSTR('hello', 2, 3) || LPAD('7', 3, '0')
             || TO_CHAR(1234.5, '9,999.99') || LENGTH('abc') || INSTR('abc','c')
             || REGEXP_REPLACE('abc', 'b', 'x') || TRUNC(-1.7) || ROUND(2.345, 2)
             || EXTRACT(YEAR FROM DATE '2024-05-06') || CAST('12' AS NUMBER) || INITCAP('ab'));
           END;""",
        ["UPell007 1,234.5033axc-12.35202412Ab"],
    ),
    "dates": (
        """DECLARE a DATE := TO_DATE('2024-02-28', 'YYYY-MM-DD'); b TIMESTAMP := TIMESTAMP
             '2024-02-28 12:00:00.5'; BEGIN
             dbms_output.put_line(TO_CHAR(a + 1.5, 'YYYY-MM-DD HH24:MI') || ' '
               || (ADD_MONTHS(a, 1) - a));
             dbms_output.put_line(TO_CHAR(b + INTERVAL '1' DAY, 'DD HH24:MI:SS'));
             IF SYSDATE > a THEN dbms_output.put_line('later'); END IF; END;""",
        ["2024-02-29 12:00 29", "29 12:00:00", "later"],
    ),
    "select into": (
        """DECLARE v t.name%TYPE; r t%ROWTYPE; n NUMBER; BEGIN
             SELECT name INTO v FROM t WHERE id = 2; SELECT * INTO r FROM t WHERE id = 1;
             SELECT COUNT(*) INTO n FROM t;
             dbms_output.put_line(v || ' ' || r.name || ' ' || n || ' ' || SQL%ROWCOUNT); END;""",
        ["n2 n1 3 1"],
    ),
    "columns win over variables": (
        """DECLARE id NUMBER := 1; k NUMBER := 2; n NUMBER; BEGIN
             SELECT COUNT(*) INTO n FROM t WHERE id = id; dbms_output.put_line(n);
             <<me>> DECLARE id NUMBER := 3; BEGIN
               SELECT COUNT(*) INTO n FROM t WHERE id = me.id; dbms_output.put_line(n); END;
             SELECT COUNT(*) INTO n FROM t WHERE id = k; dbms_output.put_line(n); END;""",
        ["3", "1", "1"],
    ),
    "dml": (
        """DECLARE k NUMBER := 50; nm VARCHAR2(20); r t%ROWTYPE; BEGIN
             INSERT INTO t VALUES (k, 'fifty', k*1.5);
             UPDATE t SET name = name || '!' WHERE id = k RETURNING name INTO nm;
             dbms_output.put_line(nm || SQL%ROWCOUNT);
             DELETE FROM t WHERE id > k; IF SQL%NOTFOUND THEN dbms_output.put_line('none'); END IF;
             r.id := 51; r.name := 'rec'; INSERT INTO t VALUES r; r.v := 9;
             UPDATE t SET ROW = r WHERE id = 51; SELECT v INTO k FROM t WHERE id = 51;
             dbms_output.put_line(k); END;""",
        ["fifty!1", "none", "9"],
    ),
    "exceptions": (
        """DECLARE e EXCEPTION; PRAGMA EXCEPTION_INIT(e, -20005); x NUMBER; mine EXCEPTION; BEGIN
             BEGIN x := 1/0; EXCEPTION WHEN ZERO_DIVIDE THEN
               dbms_output.put_line(SQLCODE || ' ' || SQLERRM); END;
             BEGIN SELECT id INTO x FROM t WHERE id = -1;
             EXCEPTION WHEN NO_DATA_FOUND OR TOO_MANY_ROWS THEN dbms_output.put_line(SQLCODE); END;
             BEGIN SELECT id INTO x FROM t;
             EXCEPTION WHEN NO_DATA_FOUND OR TOO_MANY_ROWS THEN dbms_output.put_line(SQLCODE); END;
             BEGIN raise_application_error(-20005, 'app');
             EXCEPTION WHEN e THEN dbms_output.put_line(SQLERRM); END;
             BEGIN INSERT INTO t VALUES (1,'dup',0);
             EXCEPTION WHEN DUP_VAL_ON_INDEX THEN dbms_output.put_line('dup'); END;
             BEGIN RAISE mine; EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE); END;
             BEGIN BEGIN x := 'abc'; EXCEPTION WHEN mine THEN NULL; WHEN OTHERS THEN RAISE; END;
             EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('again'); END;
             dbms_output.put_line(SQLCODE); END;""",
        [
            *["-1476 ORA-01476: divisor is equal to zero", "100", "-1422", "ORA-20005: app"],
            *["dup", "1", "again", "0"],
        ],
    ),
    "an exception in declarations": (
        """BEGIN DECLARE n NUMBER(2) := 100; BEGIN NULL;
             EXCEPTION WHEN OTHERS THEN dbms_output.put_line('not here'); END;
           EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('outside'); END;""",
        ["outside"],
    ),
    "a handler keeps what was done": (
        """DECLARE n NUMBER; BEGIN
             BEGIN INSERT INTO t VALUES (60, 'kept', 0); INSERT INTO t VALUES (1, 'dup', 0);
             EXCEPTION WHEN OTHERS THEN NULL; END;
             SELECT COUNT(*) INTO n FROM t WHERE id = 60; dbms_output.put_line(n); END;""",
        ["1"],
    ),
    "cursors": (
        """DECLARE CURSOR c(p NUMBER) IS SELECT id, name FROM t WHERE id < p ORDER BY id;
             r c%ROWTYPE; rc SYS_REFCURSOR; n NUMBER; BEGIN
             IF NOT c%ISOPEN THEN OPEN c(3); END IF;
             LOOP FETCH c INTO r; EXIT WHEN c%NOTFOUND;
               dbms_output.put_line(c%ROWCOUNT || ':' || r.name); END LOOP; CLOSE c;
             FOR x IN c(p => 2) LOOP dbms_output.put_line('for ' || x.id); END LOOP;
             FOR x IN (SELECT id AS i FROM t WHERE id <= 2 ORDER BY id DESC) LOOP
               dbms_output.put_line('q ' || x.i); END LOOP;
             OPEN rc FOR SELECT COUNT(*) FROM t; FETCH rc INTO n; CLOSE rc;
             dbms_output.put_line('n ' || n);
             OPEN rc FOR 'SELECT id FROM t WHERE id = :x' USING 2; FETCH rc INTO n; CLOSE rc;
             dbms_output.put_line('dyn ' || n);
             BEGIN FETCH c INTO r; EXCEPTION WHEN INVALID_CURSOR THEN
               dbms_output.put_line(SQLCODE); END; END;""",
        ["1:n1", "2:n2", "for 1", "q 2", "q 1", "n 3", "dyn 2", "-1001"],
    ),
    "collections": (
        """DECLARE TYPE a IS TABLE OF VARCHAR2(10) INDEX BY PLS_INTEGER; TYPE nt IS TABLE OF NUMBER;
             TYPE va IS VARRAY(3) OF NUMBER; TYPE rec IS RECORD (x NUMBER, y VARCHAR2(5) := 'd');
             TYPE ra IS TABLE OF rec INDEX BY VARCHAR2(10);
             x a; n nt := nt(5,6,7); v va := va(); r ra; k VARCHAR2(10); rr rec; u nt; BEGIN
             x(10) := 'ten'; x(-3) := 'neg';
             dbms_output.put_line(x.FIRST || ' ' || x.LAST || ' ' || x.COUNT || x(10));
             n.EXTEND; n(4) := 8; n.DELETE(2);
             FOR i IN 1..n.LAST LOOP IF n.EXISTS(i) THEN dbms_output.put_line(i || '=' || n(i));
             END IF; END LOOP;
             v.EXTEND(3); BEGIN v.EXTEND; EXCEPTION WHEN SUBSCRIPT_OUTSIDE_LIMIT THEN
               dbms_output.put_line('limit ' || v.LIMIT); END;
             r('b').x := 2; r('a').x := 1; k := r.FIRST;
             WHILE k IS NOT NULL LOOP dbms_output.put_line(k || r(k).x); k := r.NEXT(k); END LOOP;
             BEGIN dbms_output.put_line(x(99)); EXCEPTION WHEN NO_DATA_FOUND THEN
               dbms_output.put_line(rr.y); END;
             BEGIN u.EXTEND; EXCEPTION WHEN COLLECTION_IS_NULL THEN
               dbms_output.put_line('null'); END;
           END;""",
        ["-3 10 2ten", "1=5", "3=7", "4=8", "limit 3", "a1", "b2", "d", "null"],
    ),
    "records are copied": (
        """DECLARE TYPE rec IS RECORD (x NUMBER); TYPE l IS TABLE OF rec INDEX BY PLS_INTEGER;
             a rec; b rec; c l; d l; BEGIN
             a.x := 1; b := a; b.x := 2; c(1) := a; d := c; d(1).x := 7;
             dbms_output.put_line(a.x || b.x || c(1).x || d(1).x); END;""",
        ["1217"],
    ),
    "bulk": (
        """DECLARE TYPE nt IS TABLE OF NUMBER; TYPE st IS TABLE OF t.name%TYPE; ids nt; ns st;
             CURSOR c IS SELECT id FROM t ORDER BY id; BEGIN
             SELECT id, name BULK COLLECT INTO ids, ns FROM t ORDER BY id;
             dbms_output.put_line(ids.COUNT || ns(1));
             FORALL i IN 1..ids.COUNT UPDATE t SET v = v + ids(i) WHERE id = ids(i);
             dbms_output.put_line(SQL%ROWCOUNT || ' ' || SQL%BULK_ROWCOUNT(2));
             BEGIN FORALL i IN 1..3 SAVE EXCEPTIONS INSERT INTO t VALUES (i + 1, 'bulk', 0);
             EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE || ' '
               || SQL%BULK_EXCEPTIONS.COUNT || ' ' || SQL%BULK_EXCEPTIONS(2).ERROR_INDEX || ' '
               || SQL%BULK_EXCEPTIONS(1).ERROR_CODE); END;
             OPEN c; FETCH c BULK COLLECT INTO ids LIMIT 3; dbms_output.put_line(ids.COUNT);
             FETCH c BULK COLLECT INTO ids LIMIT 3; dbms_output.put_line(ids.COUNT); CLOSE c;
             DELETE FROM t WHERE id > 2 RETURNING name BULK COLLECT INTO ns;
             dbms_output.put_line(ns.COUNT); END;""",
        ["3n1", "3 1", "-24381 2 2 1", "3", "1", "2"],
    ),
    "subprograms": (
        """DECLARE
             x NUMBER; s VARCHAR2(10) := 's';
             FUNCTION odd(n NUMBER) RETURN BOOLEAN;
             FUNCTION even(n NUMBER) RETURN BOOLEAN IS BEGIN
               RETURN n = 0 OR odd(n - 1); END;
             FUNCTION odd(n NUMBER) RETURN BOOLEAN IS BEGIN RETURN n > 0 AND even(n - 1); END;
             PROCEDURE p(a IN NUMBER, b OUT NUMBER, c IN OUT VARCHAR2, d NUMBER DEFAULT 3) IS BEGIN
               b := a * d; c := c || '+'; END;
             PROCEDURE q(v NUMBER) IS BEGIN dbms_output.put_line('number ' || v); END;
             PROCEDURE q(v VARCHAR2) IS BEGIN dbms_output.put_line('text ' || v); END;
             FUNCTION f(n NUMBER) RETURN NUMBER IS BEGIN
               IF n <= 1 THEN RETURN 1; END IF; RETURN n * f(n - 1); END;
           BEGIN p(4, x, s); dbms_output.put_line(x); p(a => 5, c => s, b => x, d => 1);
             dbms_output.put_line(x || s || f(20)); q(1); q('one');
             IF even(10) AND NOT odd(10) THEN dbms_output.put_line('even'); END IF; END;""",
        ["12", "5s++2432902008176640000", "number 1", "text one", "even"],
    ),
    "execute immediate": (
        """DECLARE n NUMBER; s VARCHAR2(30); BEGIN
             EXECUTE IMMEDIATE 'INSERT INTO t VALUES (:1, :2, :3)' USING 77, 'dyn', 1.5;
             EXECUTE IMMEDIATE 'SELECT v, name FROM t WHERE id = :x' INTO n, s USING 77;
             dbms_output.put_line(n || s || SQL%ROWCOUNT);
             EXECUTE IMMEDIATE 'UPDATE t SET v = :a WHERE id = :b RETURNING v INTO :c'
               USING 4, 77 RETURNING INTO n;
             dbms_output.put_line(n);
             EXECUTE IMMEDIATE 'BEGIN dbms_output.put_line(:a || ''in''); END;' USING 'x'; END;""",
        ["1.5dyn1", "4", "xin"],
    ),
    "execute immediate binds by position": (
        """DECLARE n NUMBER; s VARCHAR2(30); TYPE ns IS TABLE OF NUMBER; ids ns := ns(81, 82);
             c SYS_REFCURSOR; BEGIN
             EXECUTE IMMEDIATE 'INSERT INTO t VALUES (:a, :b, :a) /* :a */' USING 78, ':b', 3;
             EXECUTE IMMEDIATE 'SELECT name, v::NUMBER FROM t WHERE id > :x AND id < :x
               AND name = '':b''' INTO s, n USING 77, 79;
             dbms_output.put_line(s || n);
             FORALL i IN 1..2 EXECUTE IMMEDIATE 'INSERT INTO t VALUES (:x, q''[:x]'', :x)'
               USING ids(i), i;
             OPEN c FOR 'SELECT SUM(v) || name FROM t WHERE id BETWEEN :x AND :x GROUP BY name'
               USING 81, 82;
             FETCH c INTO s; CLOSE c; dbms_output.put_line(s);
             EXECUTE IMMEDIATE 'BEGIN :r := :a - :b + :a; END;' USING OUT n, 10, 3;
             dbms_output.put_line(n); END;""",
        [":b3", "3:x", "17"],
    ),
    "execute immediate with too few or too many values": (
        """DECLARE n NUMBER; c SYS_REFCURSOR; k INTEGER;
             PROCEDURE say IS BEGIN dbms_output.put_line(SQLCODE); END; BEGIN
             BEGIN EXECUTE IMMEDIATE 'DELETE FROM t WHERE id = :1';
             EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN EXECUTE IMMEDIATE 'INSERT INTO t VALUES (:1, :2, 1)' USING 1;
             EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN EXECUTE IMMEDIATE 'SELECT 1 FROM t WHERE id = :1' INTO n USING 5, 99;
             EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN EXECUTE IMMEDIATE 'DELETE FROM t WHERE id = 1' USING 5;
             EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN OPEN c FOR 'SELECT 1 FROM t WHERE id = :1'; EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN EXECUTE IMMEDIATE 'BEGIN dbms_output.put_line(:a || :b); END;' USING 1;
             EXCEPTION WHEN OTHERS THEN say; END;
             k := DBMS_SQL.OPEN_CURSOR; DBMS_SQL.PARSE(k, 'DELETE FROM t WHERE id = :x', 1);
             BEGIN n := DBMS_SQL.EXECUTE(k); EXCEPTION WHEN OTHERS THEN say; END;
             DBMS_SQL.CLOSE_CURSOR(k);
             BEGIN EXECUTE IMMEDIATE 'COPY t TO STDOUT'; EXCEPTION WHEN OTHERS THEN
               dbms_output.put_line(SQLERRM); END; END;""",
        [
            *["-1008", "-1008", "-1006", "-1006", "-1008", "-1008", "-1008"],
            "ORA-20999: COPY in a block is not supported",
        ],
    ),
    "records in records": (
        """DECLARE TYPE inn IS RECORD (a NUMBER); TYPE ns IS TABLE OF NUMBER;
             TYPE o IS RECORD (f inn, c ns, r t%ROWTYPE); z o; n NUMBER; BEGIN
             z.f.a := 5; dbms_output.put_line(z.f.a + 1); z.c := ns(1, 2);
             dbms_output.put_line(z.c.COUNT || z.c.LAST || z.c(2)); z.r.id := 7;
             z.r.name := 'n'; dbms_output.put_line(z.r.name || z.r.id);
             SELECT 3 * z.f.a INTO z.f.a FROM dual WHERE z.f.a = 5; dbms_output.put_line(z.f.a);
             END;""",
        ["6", "222", "n7", "15"],
    ),
    "FORALL over nothing": (
        """DECLARE TYPE ns IS TABLE OF NUMBER; ids ns; BEGIN FORALL i IN 1..0
             DELETE FROM t WHERE id = -1 RETURNING id BULK COLLECT INTO ids;
             dbms_output.put_line(ids.COUNT); END;""",
        ["0"],
    ),
    "a subquery of more than one row": (
        """DECLARE n NUMBER; BEGIN
             SELECT (SELECT g FROM generate_series(1, 2) s (g)) INTO n FROM dual;
             EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE); END;""",
        ["-1427"],
    ),
    "errors of foreign keys": (
        """DECLARE PROCEDURE run(s VARCHAR2) IS BEGIN EXECUTE IMMEDIATE s;
               EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE); END; BEGIN
             run('CREATE TABLE parents (id NUMBER(5) PRIMARY KEY)');
             run('CREATE TABLE children (id INT PRIMARY KEY, p NUMBER(5) REFERENCES parents)');
             run('INSERT INTO parents VALUES (1)'); run('INSERT INTO children VALUES (1, 1)');
             run('INSERT INTO children VALUES (2, 2)'); run('DELETE FROM parents');
             run('UPDATE parents SET id = 3'); run('DROP TABLE children');
             run('DROP TABLE parents'); END;""",
        ["-2291", "-2292", "-2292"],
    ),
    "what is not one row, what is no statement": (
        """DECLARE n NUMBER; PROCEDURE say IS BEGIN
               dbms_output.put_line(SQLCODE || ' ' || SQL%ROWCOUNT); END; BEGIN
             BEGIN SELECT g INTO n FROM generate_series(1, 5) s (g);
             EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN EXECUTE IMMEDIATE 'SELECT g FROM generate_series(1, 5) s (g)' INTO n;
             EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN EXECUTE IMMEDIATE ' '; EXCEPTION WHEN OTHERS THEN say; END;
             BEGIN EXECUTE IMMEDIATE NULL; EXCEPTION WHEN OTHERS THEN say; END; END;""",
        ["-1422 1", "-1422 1", "-6535 1", "-6535 1"],
    ),
    "an END and then IF, CASE, LOOP": (
        """DECLARE n NUMBER := 5; BEGIN BEGIN NULL; END;
             IF n = 5 THEN n := CASE n WHEN 5 THEN 6 END;
             CASE WHEN n = 6 THEN BEGIN NULL; END; ELSE NULL; END CASE; END IF;
             BEGIN NULL; END; LOOP EXIT WHEN TRUE; END LOOP; dbms_output.put_line(n); END;""",
        ["6"],
    ),
    "labels of blocks": (
        """<<main>> DECLARE x NUMBER := 1; BEGIN <<inner>> DECLARE x NUMBER := 2; BEGIN
             dbms_output.put_line(main.x || inner.x || x); main.x := 5; END inner;
             <<lp>> LOOP <<lp2>> WHILE TRUE LOOP EXIT lp WHEN x > 3; END LOOP lp2; END LOOP lp;
             dbms_output.put_line(x); END main;""",
        ["122", "5"],
    ),
    "a comment, or a label, after BEGIN": (
        "BEGIN -- here; it begins\n <<a>> FOR i IN 1..2 LOOP EXIT a; END LOOP; "
        "dbms_output.put_line('in'); END;",
        ["in"],
    ),
    "cursor variables are passed": (
        """DECLARE TYPE rc IS REF CURSOR; x rc;
             PROCEDURE show(c IN rc) IS n VARCHAR2(20); BEGIN LOOP FETCH c INTO n;
               EXIT WHEN c%NOTFOUND; dbms_output.put_line(n); END LOOP; CLOSE c; END;
             PROCEDURE op(c IN OUT rc) IS BEGIN OPEN c FOR SELECT name FROM t ORDER BY id; END;
             FUNCTION one RETURN rc IS r rc; BEGIN OPEN r FOR 'SELECT name FROM t WHERE id = :k'
               USING 3; RETURN r; END;
           BEGIN op(x); show(x); x := one; show(x); END;""",
        ["n1", "n2", "n3", "n3"],
    ),
    "overloading by the type of a function": (
        """DECLARE PROCEDURE p(v NUMBER) IS BEGIN dbms_output.put_line('number'); END;
             PROCEDURE p(v VARCHAR2) IS BEGIN dbms_output.put_line('text'); END;
             PROCEDURE p(v DATE) IS BEGIN dbms_output.put_line('date'); END;
             PROCEDURE p(v BOOLEAN) IS BEGIN dbms_output.put_line('boolean'); END;
           BEGIN p(SYSDATE); p(TO_CHAR(5)); p(DATE '2020-01-01'); p(1 = 2); p(TO_NUMBER('7'));
             p(2 * 3); p('a' || 1); p(TO_DATE('2020', 'YYYY')); END;""",
        ["date", "text", "date", "boolean", "number", "number", "text", "date"],
    ),
    "collections in collections come to be": (
        """DECLARE TYPE addr IS RECORD (city VARCHAR2(20)); TYPE person IS RECORD (home addr);
             TYPE people IS TABLE OF person INDEX BY VARCHAR2(20);
             TYPE matrix IS TABLE OF people INDEX BY PLS_INTEGER; p people; m matrix; BEGIN
             p('a').home.city := 'Rome'; m(1) := p; m(2)('z').home.city := 'Oslo';
             m(3)('y') := p('a'); p('a').home.city := 'Bonn';
             dbms_output.put_line(m(1)('a').home.city || m(2)('z').home.city
               || m(3)('y').home.city || m.COUNT || p('a').home.city); END;""",
        ["RomeOsloRome3Bonn"],
    ),
    "an alias wins over a variable": (
        """DECLARE x t%ROWTYPE; y NUMBER := 7; BEGIN x.id := 9;
             FOR r IN (SELECT x.id, COUNT(*) y FROM t x WHERE x.id < y - 4 GROUP BY x.id ORDER BY 1)
             LOOP dbms_output.put_line(r.id || r.y); END LOOP; END;""",
        ["11", "21"],
    ),
    "EXTRACT and TRIM from a variable": (
        """DECLARE d DATE := DATE '2024-02-29'; s VARCHAR2(9) := '00x0'; n NUMBER; BEGIN
             dbms_output.put_line(EXTRACT(MONTH FROM d) || TRIM(BOTH '0' FROM s) || TRIM(s));
             SELECT EXTRACT(YEAR FROM d) INTO n FROM t WHERE id = 1;
             dbms_output.put_line(n); END;""",
        ["2x00x0", "2024"],
    ),
    "memory is free again": (
        """DECLARE TYPE a IS TABLE OF VARCHAR2(32767) INDEX BY PLS_INTEGER; c a; d a; BEGIN
             FOR round IN 1..8 LOOP
               FOR i IN 1..1000 LOOP c(i) := RPAD('x', 32000); END LOOP; d := c; c.DELETE;
             END LOOP; dbms_output.put_line(d.COUNT); END;""",
        ["1000"],
    ),
    "execute immediate gives values back": (
        """DECLARE n NUMBER; m NUMBER := 3; BEGIN
             EXECUTE IMMEDIATE 'BEGIN :x := :y * 2; :z := :z + 1; END;' USING OUT n, IN 4, IN OUT m;
             dbms_output.put_line(n || ' ' || m);
             BEGIN EXECUTE IMMEDIATE 'DELETE FROM t WHERE id = :x' USING OUT n;
             EXCEPTION WHEN OTHERS THEN dbms_output.put_line('refused'); END; END;""",
        ["8 4", "refused"],
    ),
    "sequences and SYSDATE": (
        "DECLARE n NUMBER; d DATE; BEGIN n := sq.NEXTVAL; d := SYSDATE; "
        "dbms_output.put_line(sq.CURRVAL - n || USER); END;",
        ["0TERRY"],
    ),
    "supplied packages": (
        """DECLARE n NUMBER; BEGIN DBMS_RANDOM.SEED(1); n := DBMS_RANDOM.VALUE(5, 6);
             IF n >= 5 AND n < 6 AND LENGTH(DBMS_RANDOM.STRING('X', 8)) = 8 THEN
             dbms_output.put_line('random'); END IF;
             dbms_output.put_line(UTL_RAW.CAST_TO_VARCHAR2(UTL_RAW.CAST_TO_RAW('raw')));
             DBMS_LOCK.SLEEP(0.001); n := DBMS_UTILITY.GET_TIME; DBMS_OUTPUT.DISABLE;
             dbms_output.put_line('unseen'); DBMS_OUTPUT.ENABLE; END;""",
        ["random", "raw"],
    ),
}
REFUSED = {
    "an error tells its line": ("DECLARE x NUMBER;\nBEGIN\n x := 0;\n x := 1/x;\nEND;", "P0001"),
    "undeclared": ("BEGIN x := 1; END;", "42704"),
    "no INTO": ("BEGIN SELECT id FROM t; END;", "42601"),
    "a syntax error": ("BEGIN IF TRUE THEN NULL; END; END;", "42601"),
    "a constant": ("DECLARE c CONSTANT NUMBER := 1; BEGIN c := 2; END;", "42601"),
    "an application's error": ("BEGIN RAISE_APPLICATION_ERROR(-20001, 'no'); END;", "P0001"),
    "no data": ("DECLARE n NUMBER; BEGIN SELECT id INTO n FROM t WHERE id < 0; END;", "P0002"),
    "too many": ("DECLARE n NUMBER; BEGIN SELECT id INTO n FROM t; END;", "P0003"),
    "an error of SQL keeps its state": ("BEGIN INSERT INTO t VALUES (1, 'd', 0); END;", "23505"),
    "a table that is not there": ("BEGIN DELETE FROM nowhere; END;", "42P01"),
    "an autonomous transaction": (
        "DECLARE PRAGMA AUTONOMOUS_TRANSACTION; BEGIN NULL; END;",
        "0A000",
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(
        tmp_path_factory.mktemp("plsql"),
        "CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30), v NUMBER)",
        "CREATE SEQUENCE sq",
    ) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def client(grid: MemoryGrid) -> AsyncIterator[asyncpg.Connection]:
    """Three rows in t, nothing else."""
    made = await grid.connect()
    await made.execute("DELETE FROM t")
    for number in (1, 2, 3):
        await made.execute("INSERT INTO t VALUES ($1, $2, 0)", number, f"n{number}")
    yield made
    await made.close()


async def printed(client: asyncpg.Connection, block: str, *values: Any) -> list[str]:
    """What a block puts out."""
    lines: list[str] = []

    def listen(_: object, message: Any) -> None:
        lines.append(message.message)

    client.add_log_listener(listen)
    try:
        await client.execute(block, *values)
        await asyncio.sleep(0)  # listeners are called soon after
    finally:
        client.remove_log_listener(listen)
    return lines


@pytest.mark.parametrize("name", PRINTED)
async def test_a_block_prints(client: asyncpg.Connection, name: str) -> None:
    block, lines = PRINTED[name]
    assert await printed(client, block) == lines


@pytest.mark.parametrize("name", REFUSED)
async def test_a_block_fails(client: asyncpg.Connection, name: str) -> None:
    block, sqlstate = REFUSED[name]
    with pytest.raises(asyncpg.PostgresError) as failed:
        await client.execute(block)
    assert failed.value.sqlstate == sqlstate
    assert name != "an error tells its line" or failed.value.detail == "ORA-06512: at line 4"
    assert await client.fetchval("SELECT COUNT(*) FROM t") == 3


async def test_an_exception_undoes_the_whole_block(client: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await client.execute("BEGIN INSERT INTO t VALUES (9, 'x', 0); RAISE VALUE_ERROR; END;")
    assert await client.fetchval("SELECT COUNT(*) FROM t WHERE id = 9") == 0
    transaction = client.transaction()
    await transaction.start()
    await client.execute("INSERT INTO t VALUES (8, 'before', 0)")
    with pytest.raises(asyncpg.PostgresError):
        await client.execute("BEGIN INSERT INTO t VALUES (9, 'x', 0); RAISE VALUE_ERROR; END;")
    await transaction.commit()
    assert await client.fetchval("SELECT COUNT(*) FROM t WHERE id IN (8, 9)") == 1


async def test_commit_and_rollback_inside(client: asyncpg.Connection) -> None:
    await client.execute(
        "BEGIN INSERT INTO t VALUES (20, 'c', 0); COMMIT; INSERT INTO t VALUES (21, 'r', 0); "
        "ROLLBACK; INSERT INTO t VALUES (22, 'end', 0); END;"
    )
    assert await client.fetchval("SELECT LISTAGG(id, ',') FROM t WHERE id > 3") == "20,22"


async def test_ddl_inside(client: asyncpg.Connection) -> None:
    await client.execute(
        "BEGIN EXECUTE IMMEDIATE 'CREATE TABLE made (a NUMBER)'; "
        "EXECUTE IMMEDIATE 'INSERT INTO made VALUES (5)'; END;"
    )
    assert await client.fetchval("SELECT a FROM made") == 5
    await client.execute("BEGIN EXECUTE IMMEDIATE 'DROP TABLE made'; END;")


async def test_values_of_the_client(client: asyncpg.Connection) -> None:
    lines = await printed(
        client, "BEGIN dbms_output.put_line($1 || '-' || ($2 + 1)); END;", "a", "4"
    )
    assert lines == ["a-5"]


async def test_a_long_block_holds_nobody_up_and_can_be_cancelled(
    grid: MemoryGrid, client: asyncpg.Connection
) -> None:
    other = await grid.connect()
    running = asyncio.create_task(client.execute("BEGIN LOOP NULL; END LOOP; END;"))
    for _ in range(5):
        assert await other.fetchval("SELECT COUNT(*) FROM t") == 3
    assert not running.done()
    running.cancel()  # the driver asks the server to cancel, and waits until it did
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await client.fetchval("SELECT COUNT(*) FROM t") == 3
    await other.close()


async def test_a_block_is_read_to_its_own_end(client: asyncpg.Connection) -> None:
    script = (
        "DECLARE FUNCTION f RETURN NUMBER IS BEGIN IF TRUE THEN RETURN 1; END IF; END; "
        "BEGIN DECLARE n NUMBER; BEGIN n := CASE WHEN TRUE THEN f ELSE 0 END; "
        "INSERT INTO t VALUES (30, 'x', n); END; END; INSERT INTO t VALUES (31, 'y', 0);"
    )
    await client.execute(script)
    assert await client.fetchval("SELECT COUNT(*) FROM t WHERE id IN (30, 31)") == 2
