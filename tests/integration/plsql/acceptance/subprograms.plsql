-- name: OUT parameters of a call that fails stay as they were
DECLARE PROCEDURE p(x IN OUT NUMBER, y OUT VARCHAR2) IS BEGIN x := x + 1; y := 'set'; RAISE_APPLICATION_ERROR(-20010, 'x'); END; a NUMBER := 1; b VARCHAR2(5) := 'old';
BEGIN p(a, b); EXCEPTION WHEN OTHERS THEN dbms_output.put_line(a || b); END;
/
--> 1old

-- name: default and named arguments
DECLARE PROCEDURE p(a NUMBER, b NUMBER DEFAULT 2, c NUMBER := 3) IS BEGIN dbms_output.put_line(a || b || c); END;
BEGIN p(1); p(1, 5); p(1, c => 7); p(c => 1, a => 2); END;
/
--> 123
--> 153
--> 127
--> 221

-- name: a function without RETURN
DECLARE FUNCTION f RETURN NUMBER IS BEGIN NULL; END; BEGIN dbms_output.put_line(f); EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLERRM); END;
/
--> ORA-06503: PL/SQL: Function F returned without value

-- name: recursion
DECLARE FUNCTION fib(n PLS_INTEGER) RETURN PLS_INTEGER IS BEGIN RETURN CASE WHEN n < 2 THEN n ELSE fib(n-1) + fib(n-2) END; END; PROCEDURE p(r NUMBER) IS BEGIN IF r > 0 THEN p(r - 1); RETURN; END IF; dbms_output.put_line('bottom'); END;
BEGIN dbms_output.put_line(fib(15)); p(50); END;
/
--> 610
--> bottom
