-- name: package state belongs to the session, and is made once
CREATE PACKAGE counter_p AS n NUMBER := 5; PROCEDURE up; FUNCTION now RETURN NUMBER; END;
/
CREATE PACKAGE BODY counter_p AS hidden NUMBER := 100; PROCEDURE up IS BEGIN n := n + 1; hidden := hidden + 1; END; FUNCTION now RETURN NUMBER IS BEGIN RETURN hidden; END; BEGIN n := n * 2; END;
/
BEGIN counter_p.up; counter_p.up; dbms_output.put_line(counter_p.n || ' ' || counter_p.now); END;
/
BEGIN counter_p.n := 1; counter_p.up; dbms_output.put_line(counter_p.n || ' ' || counter_p.now); END;
/
BEGIN dbms_output.put_line(counter_p.hidden); END;
/
DROP PACKAGE counter_p
/
--> 12 102
--> 2 103
--! 42704 identifier 'HIDDEN' must be declared

-- name: forward declarations, overloading
DECLARE
 FUNCTION odd(k PLS_INTEGER) RETURN BOOLEAN; -- declared ahead
 FUNCTION even(k PLS_INTEGER) RETURN BOOLEAN IS BEGIN IF k = 0 THEN RETURN TRUE; END IF; RETURN odd(k - 1); END;
 FUNCTION odd(k PLS_INTEGER) RETURN BOOLEAN IS BEGIN IF k = 0 THEN RETURN FALSE; END IF; RETURN even(k - 1); END;
 PROCEDURE show(v NUMBER) IS BEGIN dbms_output.put_line('number ' || v); END;
 PROCEDURE show(v VARCHAR2) IS BEGIN dbms_output.put_line('text ' || v); END;
 PROCEDURE show(v DATE) IS BEGIN dbms_output.put_line('date ' || TO_CHAR(v, 'YYYY')); END;
 PROCEDURE show(v NUMBER, w NUMBER) IS BEGIN dbms_output.put_line('two ' || (v + w)); END;
BEGIN
 IF even(10) AND odd(7) THEN show(1); END IF; show('x'); show(DATE '2024-05-06'); show(1, w => 2);
END;
/
--> number 1
--> text x
--> date 2024
--> two 3

-- name: cursors with parameters, %ROWCOUNT, LIMIT
DECLARE
 CURSOR c(lo NUMBER, hi NUMBER DEFAULT 99) IS SELECT id, name FROM t WHERE id BETWEEN lo AND hi ORDER BY id;
 TYPE rows_t IS TABLE OF c%ROWTYPE; r rows_t;
BEGIN
 FOR x IN c(2) LOOP dbms_output.put_line(c%ROWCOUNT || x.name); END LOOP;
 OPEN c(hi => 2, lo => 1); LOOP FETCH c BULK COLLECT INTO r LIMIT 1; EXIT WHEN c%NOTFOUND; dbms_output.put_line(r(1).id || ' of ' || c%ROWCOUNT); END LOOP; CLOSE c;
 IF NOT c%ISOPEN THEN dbms_output.put_line('closed'); END IF;
END;
/
--> 1n2
--> 2n3
--> 1 of 1
--> 2 of 2
--> closed

-- name: RETURNING BULK COLLECT
DECLARE TYPE nums IS TABLE OF NUMBER; TYPE names IS TABLE OF VARCHAR2(30); ids nums; ns names; want nums := nums(1, 3);
BEGIN
 UPDATE t SET v = id * 10 RETURNING id, name BULK COLLECT INTO ids, ns; dbms_output.put_line(ids.COUNT || ' ' || SQL%ROWCOUNT);
 FORALL i IN 1 .. want.COUNT DELETE FROM t WHERE id = want(i) RETURNING name BULK COLLECT INTO ns;
 FOR i IN 1 .. ns.COUNT LOOP dbms_output.put_line(ns(i)); END LOOP;
END;
/
--> 3 3
--> n1
--> n3

-- name: SAVE EXCEPTIONS, SQL%BULK_EXCEPTIONS, INDICES OF, VALUES OF
DECLARE
 TYPE nums IS TABLE OF NUMBER INDEX BY PLS_INTEGER; n nums; picks nums; bulk_errors EXCEPTION; PRAGMA EXCEPTION_INIT(bulk_errors, -24381);
BEGIN
 n(1) := 7; n(2) := 1; n(3) := 8; n(4) := 2;
 BEGIN FORALL i IN 1 .. 4 SAVE EXCEPTIONS INSERT INTO t VALUES (n(i), 'new', 0);
 EXCEPTION WHEN bulk_errors THEN FOR i IN 1 .. SQL%BULK_EXCEPTIONS.COUNT LOOP dbms_output.put_line(SQL%BULK_EXCEPTIONS(i).ERROR_INDEX || ' ' || SQL%BULK_EXCEPTIONS(i).ERROR_CODE); END LOOP; END;
 n.DELETE(2); n.DELETE(4); FORALL i IN INDICES OF n UPDATE t SET name = 'upd' WHERE id = n(i); dbms_output.put_line(SQL%ROWCOUNT);
 picks(1) := 3; FORALL i IN VALUES OF picks DELETE FROM t WHERE id = n(i); dbms_output.put_line(SQL%ROWCOUNT || ' ' || SQL%BULK_ROWCOUNT(3));
 FORALL i IN 2 .. 3 UPDATE t SET v = i WHERE id >= i; dbms_output.put_line(SQL%BULK_ROWCOUNT(2) || ' ' || SQL%BULK_ROWCOUNT(3)); dbms_output.put_line(SQL%BULK_ROWCOUNT(1));
END;
/
--> 2 1
--> 4 1
--> 2
--> 1 1
--> 3 2
--! P0001 ORA-22160: element at index [1] does not exist

-- name: labelled loops, CONTINUE WHEN, EXIT of an outer loop, CASE without a match
DECLARE k NUMBER := 0;
BEGIN
 <<outer_loop>> FOR i IN 1 .. 5 LOOP
   FOR j IN 1 .. 5 LOOP CONTINUE outer_loop WHEN j > i; EXIT outer_loop WHEN i = 4; k := k + outer_loop.i * j; END LOOP;
 END LOOP outer_loop;
 dbms_output.put_line(k); FOR i IN REVERSE 1 .. 4 LOOP CONTINUE WHEN MOD(i, 2) = 0; dbms_output.put_line(i); END LOOP;
 CASE k WHEN 1 THEN NULL; END CASE;
EXCEPTION WHEN CASE_NOT_FOUND THEN dbms_output.put_line(SQLCODE);
END;
/
--> 25
--> 3
--> 1
--> -6592

-- name: FORMAT_ERROR_BACKTRACE names the line where it happened
DECLARE
 PROCEDURE inner_p IS n NUMBER; BEGIN
   n := 1 / 0; END;
 PROCEDURE outer_p IS BEGIN
   inner_p; END;
BEGIN outer_p;
EXCEPTION WHEN ZERO_DIVIDE THEN dbms_output.put_line(DBMS_UTILITY.FORMAT_ERROR_BACKTRACE); dbms_output.put_line(DBMS_UTILITY.FORMAT_ERROR_STACK);
END;
/
--> ORA-06512: at line 3
--> ORA-06512: at line 5
--> ORA-06512: at line 6
--> ORA-01476: divisor is equal to zero
--> ORA-06512: at line 3
--> ORA-06512: at line 5
--> ORA-06512: at line 6

-- name: a handler that repeats what failed for a passing reason
DECLARE retry EXCEPTION; PRAGMA EXCEPTION_INIT(retry, -57005); tries NUMBER := 0; done BOOLEAN := FALSE;
BEGIN
 WHILE NOT done LOOP BEGIN tries := tries + 1; UPDATE t SET v = v + 1 WHERE id = 1; done := TRUE; EXCEPTION WHEN retry THEN NULL; END; END LOOP;
 dbms_output.put_line(tries);
END;
/
--> 1

-- name: pragmas that TimesTen has not
DECLARE PROCEDURE p IS PRAGMA AUTONOMOUS_TRANSACTION; BEGIN NULL; END; BEGIN p; END;
/
CREATE PACKAGE sr_p AS PRAGMA SERIALLY_REUSABLE; n NUMBER; END;
/
BEGIN sr_p.n := 1; END;
/
DROP PACKAGE sr_p
/
--! 0A000 PRAGMA AUTONOMOUS_TRANSACTION is not supported
--> the package was created with compilation errors: PRAGMA SERIALLY_REUSABLE is not supported
--! 0A000 PRAGMA SERIALLY_REUSABLE is not supported

-- name: SQL attributes after each kind of statement
DECLARE n NUMBER;
BEGIN
 UPDATE t SET v = 1 WHERE id > 99; IF SQL%NOTFOUND THEN dbms_output.put_line('none ' || SQL%ROWCOUNT); END IF;
 INSERT INTO t SELECT id + 10, name, v FROM t; dbms_output.put_line(SQL%ROWCOUNT);
 SELECT COUNT(*) INTO n FROM t; IF SQL%FOUND THEN dbms_output.put_line(n || ' ' || SQL%ROWCOUNT); END IF;
 IF NOT SQL%ISOPEN THEN dbms_output.put_line('never open'); END IF;
END;
/
--> none 0
--> 3
--> 6 1
--> never open

-- name: nested records and collections of records by reference to columns
DECLARE
 TYPE place IS RECORD (city VARCHAR2(20) := 'Oslo', zip t.id%TYPE); TYPE person IS RECORD (name t.name%TYPE, home place);
 TYPE people IS TABLE OF person INDEX BY VARCHAR2(10); p people; one person; k VARCHAR2(10);
BEGIN
 p('a').name := 'Ada'; p('a').home.zip := 7; one := p('a'); one.home.city := 'Rome'; p('b') := one;
 k := p.FIRST; WHILE k IS NOT NULL LOOP dbms_output.put_line(k || p(k).name || p(k).home.city || p(k).home.zip); k := p.NEXT(k); END LOOP;
END;
/
--> aAdaOslo7
--> bAdaRome7

-- name: NOCOPY, mixed notation, defaults that call functions
DECLARE
 FUNCTION base RETURN NUMBER IS BEGIN RETURN 40; END;
 PROCEDURE add_to(a IN OUT NOCOPY NUMBER, b NUMBER DEFAULT base(), c NUMBER := 1) IS BEGIN a := a + b + c; END;
 n NUMBER := 1;
BEGIN add_to(n); add_to(n, c => 0); add_to(c => 2, a => n, b => 0); dbms_output.put_line(n); END;
/
--> 84

-- name: EXECUTE IMMEDIATE: DDL, RETURNING INTO, BULK COLLECT, a block with IN OUT
DECLARE n NUMBER := 3; s VARCHAR2(30); TYPE names IS TABLE OF VARCHAR2(30); ns names;
BEGIN
 EXECUTE IMMEDIATE 'CREATE TABLE dyn_t (a NUMBER)'; EXECUTE IMMEDIATE 'DROP TABLE dyn_t';
 EXECUTE IMMEDIATE 'UPDATE t SET name = :1 WHERE id = :2 RETURNING name INTO :3' USING 'dyn', 2 RETURNING INTO s; dbms_output.put_line(s);
 EXECUTE IMMEDIATE 'SELECT name FROM t WHERE id <= :1 ORDER BY id' BULK COLLECT INTO ns USING 2; dbms_output.put_line(ns(1) || ns(2));
 EXECUTE IMMEDIATE 'BEGIN :x := :x * 2; END;' USING IN OUT n; dbms_output.put_line(n);
END;
/
--> dyn
--> n1dyn
--> 6

-- name: exceptions propagate through blocks, and RAISE again keeps them
DECLARE e1 EXCEPTION; e2 EXCEPTION; PRAGMA EXCEPTION_INIT(e2, -20123);
BEGIN
 BEGIN BEGIN RAISE e1; EXCEPTION WHEN e2 THEN dbms_output.put_line('wrong'); END; EXCEPTION WHEN e1 THEN dbms_output.put_line('e1 ' || SQLCODE); END;
 BEGIN RAISE_APPLICATION_ERROR(-20123, 'mine'); EXCEPTION WHEN e2 THEN dbms_output.put_line(SQLERRM); END;
 BEGIN BEGIN RAISE NO_DATA_FOUND; EXCEPTION WHEN OTHERS THEN RAISE; END; EXCEPTION WHEN NO_DATA_FOUND THEN dbms_output.put_line('again ' || SQLCODE); END;
 RAISE e1;
END;
/
--> e1 1
--> ORA-20123: mine
--> again 100
--! P0001 ORA-06510: PL/SQL: unhandled user-defined exception
