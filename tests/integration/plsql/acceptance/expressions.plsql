-- name: three-valued logic
DECLARE
 a BOOLEAN; FUNCTION s(b BOOLEAN) RETURN VARCHAR2 IS BEGIN RETURN CASE WHEN b THEN 'T' WHEN NOT b THEN 'F' ELSE 'U' END; END;
BEGIN dbms_output.put_line(s(a AND FALSE) || s(a AND TRUE) || s(a OR TRUE) || s(a OR FALSE) || s(NOT a) || s(NULL = NULL) || s(1 IN (2, NULL)) || s(1 NOT IN (2, NULL)) || s(2 BETWEEN 1 AND NULL) || s(0 BETWEEN 1 AND NULL) || s('a' LIKE NULL) || s('' IS NULL) || s('ab' LIKE 'a_') || s('a%' LIKE 'a\%' ESCAPE '\')); END;
/
--> FUTUUUUUUFUTTT

-- name: operators
BEGIN
 dbms_output.put_line(2 + 3 * 4 ** 2 || ' ' || -2 ** 2 || ' ' || 7 MOD 3 || ' ' || MOD(-7, 3) || ' ' || 1/3 || ' ' || 10/4);
 dbms_output.put_line('a' || NULL || 'b' || 1 || 1.50 || .5 || -.25); dbms_output.put_line('5' + 3); dbms_output.put_line(1e3 || ' ' || 1.5e-3);
END;
/
--> 50 -4 1 -1 0.3333333333333333333333333333333333333333 2.5
--> ab11.50.5-0.25
--> 8
--> 1000 0.0015

-- name: NUMBER has the digits it has in SQL
DECLARE
  x NUMBER := 10 / 3;
  y NUMBER := 1 / 3 * 100 + 1 / 7;
  z NUMBER := DATE '2024-01-02' - TO_DATE('2024-01-01 07:00', 'YYYY-MM-DD HH24:MI');
  n NUMBER;
BEGIN
  SELECT COUNT(*) INTO n FROM dual WHERE x = 10 / 3;
  DBMS_OUTPUT.PUT_LINE(n);
  SELECT COUNT(*) INTO n FROM dual WHERE y = 1 / 3 * 100 + 1 / 7;
  DBMS_OUTPUT.PUT_LINE(n);
  SELECT COUNT(*) INTO n FROM dual
  WHERE z = DATE '2024-01-02' - TO_DATE('2024-01-01 07:00', 'YYYY-MM-DD HH24:MI');
  DBMS_OUTPUT.PUT_LINE(n);
END;
/
--> 1
--> 1
--> 1

-- name: powers and remainders are those of SQL
DECLARE
  small NUMBER := POWER(2, -130);
  many NUMBER := POWER(1.0000001, 1000);
  rest NUMBER := MOD(1E50, 0.7);
  n NUMBER;
BEGIN
  SELECT COUNT(*) INTO n FROM dual
  WHERE small = POWER(2, -130) AND many = POWER(1.0000001, 1000) AND rest = MOD(1E50, 0.7);
  DBMS_OUTPUT.PUT_LINE(n || ' ' || many);
END;
/
--> 1 1.00010000499516617114179497928069472729
