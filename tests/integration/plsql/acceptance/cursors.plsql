-- name: WHERE CURRENT OF
DECLARE CURSOR c IS SELECT name, v FROM t WHERE id < 3 ORDER BY id FOR UPDATE; r c%ROWTYPE; x NUMBER; BEGIN
 OPEN c; LOOP FETCH c INTO r; EXIT WHEN c%NOTFOUND; UPDATE t SET v = v + 5, name = r.name || '!' WHERE CURRENT OF c RETURNING v INTO x; dbms_output.put_line(x); END LOOP; CLOSE c;
 FOR r IN c LOOP IF r.name = 'n2!' THEN DELETE FROM t WHERE CURRENT OF c; dbms_output.put_line(SQL%ROWCOUNT); END IF; END LOOP;
 FOR r IN (SELECT * FROM t ORDER BY id) LOOP dbms_output.put_line(r.id || r.name || r.v); END LOOP;
 BEGIN OPEN c; UPDATE t SET v = 1 WHERE CURRENT OF c; EXCEPTION WHEN INVALID_CURSOR THEN dbms_output.put_line('no row'); END;
END;
/
--> 5
--> 5
--> 1
--> 1n1!5
--> 3n30
--> no row

-- name: WHERE CURRENT OF with all columns
DECLARE CURSOR c IS SELECT * FROM t FOR UPDATE OF v NOWAIT; BEGIN FOR r IN c LOOP UPDATE t x SET x.v = 7 WHERE CURRENT OF c; END LOOP; FOR r IN (SELECT * FROM t ORDER BY id) LOOP dbms_output.put_line(r.id || r.name || r.v); END LOOP; END;
/
--> 1n17
--> 2n27
--> 3n37

-- name: WHERE CURRENT OF needs FOR UPDATE
DECLARE CURSOR c IS SELECT * FROM t; BEGIN UPDATE t SET v = 7 WHERE CURRENT OF c; END;
/
--! 42601 TT1001: CURRENT OF C: its query is not SELECT … FROM table … FOR UPDATE

-- name: attributes
DECLARE CURSOR c IS SELECT id FROM t ORDER BY id; n NUMBER; BEGIN
 BEGIN IF c%FOUND THEN NULL; END IF; EXCEPTION WHEN INVALID_CURSOR THEN dbms_output.put_line('closed'); END;
 OPEN c; IF c%FOUND IS NULL AND c%ROWCOUNT = 0 THEN dbms_output.put_line('before'); END IF; BEGIN OPEN c; EXCEPTION WHEN CURSOR_ALREADY_OPEN THEN dbms_output.put_line(SQLCODE); END;
 FETCH c INTO n; FETCH c INTO n; FETCH c INTO n; FETCH c INTO n; dbms_output.put_line(n || c%ROWCOUNT || CASE WHEN c%NOTFOUND THEN 'nf' END); CLOSE c;
 BEGIN CLOSE c; EXCEPTION WHEN INVALID_CURSOR THEN dbms_output.put_line('closed twice'); END; END;
/
--> closed
--> before
--> -6511
--> 33nf
--> closed twice

-- name: REF CURSOR
DECLARE TYPE ec IS REF CURSOR RETURN t%ROWTYPE; c ec; d SYS_REFCURSOR; r t%ROWTYPE; FUNCTION f(k NUMBER) RETURN SYS_REFCURSOR IS x SYS_REFCURSOR; BEGIN OPEN x FOR SELECT * FROM t WHERE id >= k ORDER BY id; RETURN x; END;
BEGIN OPEN c FOR SELECT * FROM t WHERE id = 1; d := c; FETCH d INTO r; dbms_output.put_line(r.name || c%ROWCOUNT); CLOSE d; IF NOT c%ISOPEN THEN dbms_output.put_line('shared'); END IF; c := f(2); LOOP FETCH c INTO r; EXIT WHEN c%NOTFOUND; dbms_output.put_line(r.id); END LOOP; OPEN c FOR SELECT * FROM t WHERE id = 3; FETCH c INTO r; dbms_output.put_line(r.id); END;
/
--> n11
--> shared
--> 2
--> 3
--> 3

-- name: parameters with defaults
DECLARE CURSOR c(lo NUMBER := 1, hi NUMBER DEFAULT 2) RETURN t%ROWTYPE IS SELECT * FROM t WHERE id BETWEEN lo AND hi ORDER BY id; BEGIN FOR r IN c LOOP dbms_output.put(r.id); END LOOP; FOR r IN c(2, 3) LOOP dbms_output.put(r.id || c%ROWCOUNT); END LOOP; FOR r IN c(hi => 3) LOOP dbms_output.put(r.id); END LOOP; dbms_output.new_line; END;
/
--> 122132123
