-- name: qualified names
DECLARE
 x NUMBER := 1; PROCEDURE p(y NUMBER) IS x NUMBER := 2; BEGIN dbms_output.put_line(p.x || p.y); END;
BEGIN <<b>> DECLARE x NUMBER := 3; BEGIN p(8); dbms_output.put_line(b.x || x); <<c>> FOR x IN 5..5 LOOP dbms_output.put_line(c.x || b.x); END LOOP c; END b; END;
/
--> 28
--> 33
--> 53

-- name: a name that is not declared
BEGIN
  x := 1;
  y := 2;
END;
/
--! 42704 identifier 'X' must be declared
