-- name: BULK COLLECT and FORALL
DECLARE TYPE nums IS TABLE OF t.id%TYPE; TYPE names IS TABLE OF t.name%TYPE INDEX BY PLS_INTEGER; TYPE rows_t IS TABLE OF t%ROWTYPE; a nums; b names; r rows_t; CURSOR c IS SELECT * FROM t ORDER BY id; n PLS_INTEGER := 0;
BEGIN SELECT id BULK COLLECT INTO a FROM t WHERE id > 100; dbms_output.put_line(a.COUNT || SQL%ROWCOUNT); SELECT * BULK COLLECT INTO r FROM t ORDER BY id; dbms_output.put_line(r.COUNT || r(2).name);
 OPEN c; LOOP FETCH c BULK COLLECT INTO r LIMIT 2; n := n + 1; dbms_output.put_line(r.COUNT || c%ROWCOUNT || CASE WHEN c%NOTFOUND THEN 'nf' END); EXIT WHEN c%NOTFOUND; END LOOP; CLOSE c;
 a := nums(11, 12, 13); FORALL i IN a.FIRST..a.LAST INSERT INTO t (id, name) VALUES (a(i), 'f' || a(i)); dbms_output.put_line(SQL%ROWCOUNT || SQL%BULK_ROWCOUNT(3));
 FORALL i IN 1..3 UPDATE t SET name = name || '+' WHERE id = a(i) RETURNING id, name BULK COLLECT INTO a, b; dbms_output.put_line(a.COUNT || b(3));
 a.DELETE(2); FORALL i IN INDICES OF a DELETE FROM t WHERE id = a(i); dbms_output.put_line(SQL%ROWCOUNT);
 a := nums(1, 3); FORALL i IN VALUES OF a UPDATE t SET v = i WHERE id = i; dbms_output.put_line(SQL%ROWCOUNT);
 a := nums(12, 1, 99, 2); BEGIN FORALL i IN 1..4 SAVE EXCEPTIONS INSERT INTO t (id, name) VALUES (a(i), 'x'); EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE || ' ' || SQL%BULK_EXCEPTIONS.COUNT);
  FOR i IN 1..SQL%BULK_EXCEPTIONS.COUNT LOOP dbms_output.put_line(SQL%BULK_EXCEPTIONS(i).ERROR_INDEX || ' ' || SQLERRM(-SQL%BULK_EXCEPTIONS(i).ERROR_CODE)); END LOOP; END;
 DELETE FROM t WHERE id > 3;
END;
/
--> 00
--> 3n2
--> 22
--> 13nf
--> 31
--> 3f13+
--> 2
--> 2
--> -24381 3
--> 1 ORA-00001: unique constraint violated
--> 2 ORA-00001: unique constraint violated
--> 4 ORA-00001: unique constraint violated

-- name: FORALL with records
DECLARE TYPE rows_t IS TABLE OF t%ROWTYPE; r rows_t := rows_t(); x t%ROWTYPE; BEGIN x.id := 40; x.name := 'r'; r.EXTEND; r(1) := x; x.id := 41; r.EXTEND; r(2) := x;
 FORALL i IN 1..2 INSERT INTO t VALUES r(i); dbms_output.put_line(SQL%ROWCOUNT); FORALL i IN 1..2 UPDATE t SET v = r(i).id * 2 WHERE id = r(i).id; FOR q IN (SELECT * FROM t WHERE id >= 40 ORDER BY 1) LOOP dbms_output.put_line(q.id || q.v); END LOOP; DELETE FROM t WHERE id >= 40; END;
/
--> 2
--> 4080
--> 4182

-- name: the last batch of a bulk fetch is not full
DECLARE CURSOR c IS SELECT id FROM t ORDER BY 1; TYPE ids IS TABLE OF NUMBER; i ids; BEGIN OPEN c; LOOP FETCH c BULK COLLECT INTO i LIMIT 2;
 dbms_output.put_line(i.COUNT || CASE WHEN c%NOTFOUND THEN ' not found' END || CASE WHEN c%FOUND THEN ' found' END); EXIT WHEN c%NOTFOUND; END LOOP; CLOSE c; END;
/
--> 2 found
--> 1 not found
