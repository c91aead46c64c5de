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

-- name: actual parameters are converted as in an assignment
DECLARE
  v VARCHAR2(5) := '6';
  n NUMBER;
  PROCEDURE p(a NUMBER) IS BEGIN DBMS_OUTPUT.PUT_LINE(a + 1); END;
  PROCEDURE o(a OUT VARCHAR2) IS BEGIN a := '41'; END;
  FUNCTION f(a VARCHAR2) RETURN VARCHAR2 IS BEGIN RETURN '<' || a || '>'; END;
BEGIN
  p('6');
  p(v);
  o(n);
  DBMS_OUTPUT.PUT_LINE(n + 1);
  FOR r IN (SELECT id FROM t WHERE id = 3) LOOP
    DBMS_OUTPUT.PUT_LINE(f(r.id) || f(7));
  END LOOP;
  p('six');
EXCEPTION
  WHEN VALUE_ERROR THEN DBMS_OUTPUT.PUT_LINE(SQLCODE);
END;
/
--> 7
--> 7
--> 42
--> <3><7>
--> -6502

-- name: an overloaded routine that needs no conversion is taken first
DECLARE
  PROCEDURE p(a DATE, b NUMBER) IS BEGIN DBMS_OUTPUT.PUT_LINE('date'); END;
  PROCEDURE p(a NUMBER, b NUMBER) IS BEGIN DBMS_OUTPUT.PUT_LINE('number'); END;
  PROCEDURE p(a VARCHAR2, b NUMBER) IS BEGIN DBMS_OUTPUT.PUT_LINE('text'); END;
  v VARCHAR2(5) := '6';
BEGIN
  p(v, 1);
  p(6, 1);
END;
/
--> text
--> number

-- name: a call that several routines could take with a conversion is ambiguous
DECLARE
  PROCEDURE p(a NUMBER, b NUMBER) IS BEGIN NULL; END;
  PROCEDURE p(a VARCHAR2, b NUMBER) IS BEGIN NULL; END;
BEGIN
  p(6, '1');
END;
/
--! 42704 wrong number or types of arguments in call to 'P'
