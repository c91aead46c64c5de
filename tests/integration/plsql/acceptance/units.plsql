-- name: AUTHID DEFINER
CREATE OR REPLACE FUNCTION owner_p RETURN VARCHAR2 AUTHID DEFINER IS BEGIN RETURN USER; END;
/
BEGIN dbms_output.put_line(owner_p()); dbms_output.put_line(terry.owner_p); END;
/
--> TERRY
--> TERRY

-- name: CALL gives OUT parameters
CREATE OR REPLACE PROCEDURE p(a IN NUMBER, b OUT NUMBER, c IN OUT VARCHAR2, d OUT DATE) IS BEGIN b := a * 2; c := c || '!'; d := DATE '2024-01-02'; END;
/
CALL p(5, NULL, 'hi', NULL)
/
--= b=10 c=hi! d=2024-01-02 00:00:00

-- name: CALL of a function
CREATE OR REPLACE FUNCTION f(a NUMBER DEFAULT 3) RETURN VARCHAR2 IS BEGIN RETURN 'f' || a; END;
/
CALL f(7)
/
CALL f
/
select * from f(9)  as result
/
--= f=f7
--= f=f3
--= f=f9

-- name: CALL without arguments
CREATE OR REPLACE PROCEDURE np IS BEGIN dbms_output.put_line('np'); END;
/
CALL np()
/
CALL np
/
--> np
--> np

-- name: CALL with too few arguments
CREATE OR REPLACE PROCEDURE p(a IN NUMBER, b OUT NUMBER, c IN OUT VARCHAR2, d OUT DATE) IS BEGIN b := a * 2; c := c || '!'; d := DATE '2024-01-02'; END;
/
CALL p(1)
/
--! 42704 wrong number or types of arguments in call to 'P'
