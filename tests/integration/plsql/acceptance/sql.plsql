-- name: MERGE, INSERT SELECT, ROLLBACK
DECLARE n NUMBER; BEGIN MERGE INTO t USING (SELECT 3 AS k FROM dual) s ON (t.id = s.k) WHEN MATCHED THEN UPDATE SET v = 33 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.k); dbms_output.put_line(SQL%ROWCOUNT); INSERT INTO t SELECT id + 50, name, v FROM t; dbms_output.put_line(SQL%ROWCOUNT); ROLLBACK; SELECT COUNT(*) INTO n FROM t; dbms_output.put_line(n); END;
/
--> 1
--> 3
--> 3

-- name: sequences
DECLARE n NUMBER; BEGIN INSERT INTO t (id) VALUES (sq.NEXTVAL + 100) RETURNING id INTO n; dbms_output.put_line(n - sq.CURRVAL); SELECT sq.NEXTVAL INTO n FROM dual; ROLLBACK; END;
/
--> 100

-- name: SAVEPOINT is refused
BEGIN SAVEPOINT a; END;
/
--! 0A000 SAVEPOINT in PL/SQL is not supported

-- name: LOCK TABLE is refused
BEGIN LOCK TABLE t IN EXCLUSIVE MODE; END;
/
--! 0A000 LOCK in PL/SQL is not supported

-- name: RETURNING INTO
DECLARE n NUMBER; BEGIN UPDATE t SET v = 1 WHERE id = 1 RETURNING v INTO n; UPDATE t SET v = 2 WHERE id = -1 RETURNING v INTO n; dbms_output.put_line(n || SQL%ROWCOUNT); BEGIN UPDATE t SET v = 1 RETURNING v INTO n; EXCEPTION WHEN TOO_MANY_ROWS THEN dbms_output.put_line('tmr'); END; END;
/
--> 10
--> tmr

-- name: functions of SQL
DECLARE d DATE := SYSDATE; BEGIN dbms_output.put_line(TO_CHAR(TRUNC(d) - TRUNC(d, 'MM') + 1 - EXTRACT(DAY FROM d))); dbms_output.put_line(q'[it's]' || N'x' || q'{a}'); dbms_output.put_line(GREATEST(1, 5, 3) || LEAST('b', 'a') || NULLIF(1, 1) || DECODE(2, 1, 'a', 2, 'b') || NVL2(NULL, 1, 2)); END;
/
--> 0
--> it'sxa
--> 5ab2

-- name: SET ROW of a record in a record, and in a collection
DECLARE
  TYPE both IS RECORD (one t%ROWTYPE); TYPE list IS TABLE OF both INDEX BY PLS_INTEGER; b both; l list; k NUMBER;
BEGIN
  INSERT INTO t VALUES (8101, 'a', 1); b.one.id := 8101; b.one.v := 5; l(3) := b; l(3).one.v := 6;
  UPDATE t SET ROW = b.one WHERE id = 8101; SELECT v INTO k FROM t WHERE id = 8101; dbms_output.put_line(k);
  UPDATE t SET ROW = l(3).one WHERE id = 8101; SELECT v INTO k FROM t WHERE id = 8101; dbms_output.put_line(k);
  ROLLBACK;
END;
/
--> 5
--> 6
