-- name: GOTO
DECLARE n NUMBER := 0; BEGIN
 <<again>> n := n + 1;
 IF n < 5 THEN GOTO again; END IF;
 FOR i IN 1..10 LOOP IF i = 3 THEN GOTO done; END IF; n := n + 100; <<skip>> NULL; END LOOP;
 n := -1;
 <<done>> dbms_output.put_line(n);
END;
/
--> 205

-- name: GOTO to nowhere
BEGIN GOTO nowhere; END;
/
--! 42601 TT1001: GOTO cannot reach the label NOWHERE: it is not in a block around

-- name: GOTO into a block
BEGIN IF TRUE THEN <<x>> NULL; END IF; GOTO x; END;
/
--! 42601 TT1001: GOTO cannot reach the label X: it is not in a block around

-- name: CASE
BEGIN
 dbms_output.put_line(CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' END || CASE WHEN NULL THEN 'x' ELSE 'y' END || NVL(CASE 5 WHEN 1 THEN 'z' END, '-'));
 CASE WHEN 1 > 2 THEN NULL; END CASE;
EXCEPTION WHEN CASE_NOT_FOUND THEN dbms_output.put_line(SQLERRM); END;
/
--> cy-
--> ORA-06592: CASE not found while executing CASE statement

-- name: loops
DECLARE n NUMBER := 0; BEGIN -- loops
 FOR i IN 3..1 LOOP n := 100; END LOOP; FOR i IN REVERSE 1..3 LOOP n := n * 10 + i; END LOOP; dbms_output.put_line(n);
 FOR i IN 1.5..2.5 LOOP n := i; END LOOP; dbms_output.put_line(n);
 <<o>> LOOP n := n + 1; LOOP n := n + 10; CONTINUE o WHEN n < 50; EXIT o; END LOOP; END LOOP; dbms_output.put_line(n);
 WHILE n > 60 LOOP n := n - 1; IF n = 55 THEN EXIT; END IF; END LOOP; dbms_output.put_line(n);
 FOR i IN 1..2 LOOP DECLARE i NUMBER := 9; BEGIN dbms_output.put_line(i); END; END LOOP;
END;
/
--> 321
--> 3
--> 58
--> 58
--> 9
--> 9

-- name: PRAGMA INLINE
DECLARE PROCEDURE p IS PRAGMA INLINE(q, 'YES'); BEGIN PRAGMA INLINE(q, 'YES'); dbms_output.put_line('here'); END; BEGIN p; END;
/
--> here

