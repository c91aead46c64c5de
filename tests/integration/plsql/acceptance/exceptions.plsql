-- name: SQLERRM of a code
BEGIN dbms_output.put_line(SQLERRM(-1403)); dbms_output.put_line(SQLERRM(100)); dbms_output.put_line(SQLERRM(1)); dbms_output.put_line(SQLERRM(7));
dbms_output.put_line(SQLERRM(-6511)); dbms_output.put_line(SQLERRM(-99999));dbms_output.put_line(SQLERRM(0));  dbms_output.put_line(SQLERRM(-20001)); END;
/
--> ORA-01403: no data found
--> ORA-01403: no data found
--> User-Defined Exception
--> -7: non-ORACLE exception
--> ORA-06511: PL/SQL: cursor already open
--> ORA-99999: Message 99999 not found; product=RDBMS; facility=ORA
--> ORA-0000: normal, successful completion
--> ORA-20001:

-- name: two of the same name
DECLARE
 e EXCEPTION; BEGIN DECLARE e EXCEPTION; BEGIN RAISE e; END; EXCEPTION WHEN e THEN dbms_output.put_line('same'); WHEN OTHERS THEN dbms_output.put_line('other ' || SQLCODE || SQLERRM); END;
/
--> other 1User-Defined Exception

-- name: EXCEPTION_INIT
DECLARE e EXCEPTION; PRAGMA EXCEPTION_INIT(e, -1); BEGIN INSERT INTO t VALUES (1, 'x', 1); EXCEPTION WHEN e THEN dbms_output.put_line(SUBSTR(SQLERRM, 1, 9)); END;
/
--> ORA-00001

-- name: in handlers, and raised again
BEGIN
 BEGIN BEGIN RAISE NO_DATA_FOUND; EXCEPTION WHEN NO_DATA_FOUND THEN RAISE TOO_MANY_ROWS; END; EXCEPTION WHEN TOO_MANY_ROWS THEN dbms_output.put_line('second ' || SQLCODE); END;
 BEGIN BEGIN RAISE_APPLICATION_ERROR(-20123, 'inner', TRUE); EXCEPTION WHEN OTHERS THEN dbms_output.put_line(DBMS_UTILITY.FORMAT_ERROR_STACK); RAISE; END; EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE); dbms_output.put_line(DBMS_UTILITY.FORMAT_ERROR_BACKTRACE); END;
END;
/
--> second -1422
--> ORA-20123: inner
--> ORA-06512: at line 3
--> -20123
--> ORA-06512: at line 3

-- name: numbers of RAISE_APPLICATION_ERROR
BEGIN RAISE_APPLICATION_ERROR(-19999, 'bad'); EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLERRM); dbms_output.put_line(DBMS_UTILITY.FORMAT_ERROR_STACK); END;
/
--> ORA-21000: error number argument to raise_application_error of -19999 is out of range
--> ORA-21000: error number argument to raise_application_error of -19999 is out of range
--> ORA-06512: at line 1

-- name: NO_DATA_FOUND
DECLARE n NUMBER; BEGIN SELECT v INTO n FROM t WHERE id = 99; EXCEPTION WHEN NO_DATA_FOUND THEN dbms_output.put_line(SQLCODE || ' ' || SQLERRM || SQL%ROWCOUNT || CASE WHEN SQL%NOTFOUND THEN 'nf' END); END;
/
--> 100 ORA-01403: no data found0nf

-- name: VALUE_ERROR of TO_NUMBER
DECLARE n NUMBER; BEGIN n := TO_NUMBER('x'); EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line(SQLERRM); WHEN INVALID_NUMBER THEN dbms_output.put_line('inv'); END;
/
--> ORA-06502: PL/SQL: numeric or value error: character to number conversion error

-- name: INVALID_NUMBER of SQL
DECLARE n NUMBER; BEGIN SELECT TO_NUMBER(name) INTO n FROM t WHERE id = 1; EXCEPTION WHEN INVALID_NUMBER THEN dbms_output.put_line(SQLCODE); END;
/
--> -1722

-- name: RAISE_APPLICATION_ERROR keeps the stack
BEGIN BEGIN RAISE ZERO_DIVIDE; EXCEPTION WHEN OTHERS THEN RAISE_APPLICATION_ERROR(-20001, 'outer', TRUE); END; EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLERRM); END;
/
--> ORA-20001: outer
--> ORA-01476: divisor is equal to zero

-- name: lines through units
CREATE OR REPLACE PROCEDURE inner_p IS n NUMBER; BEGIN
 n := 1;
 n := n / 0;
END;
/
CREATE OR REPLACE PACKAGE pk IS PROCEDURE go; END;
/
CREATE OR REPLACE PACKAGE BODY pk IS PROCEDURE go IS BEGIN
 inner_p; END; END;
/
BEGIN
 NULL;
 pk.go;
END;
/
BEGIN pk.go; EXCEPTION WHEN OTHERS THEN dbms_output.put_line(DBMS_UTILITY.FORMAT_ERROR_STACK); dbms_output.put_line(DBMS_UTILITY.FORMAT_ERROR_BACKTRACE); END;
/
--! P0001 ORA-01476: divisor is equal to zero
--> ORA-01476: divisor is equal to zero
--> ORA-06512: at "TERRY.INNER_P", line 3
--> ORA-06512: at "TERRY.PK", line 2
--> ORA-06512: at line 1
--> ORA-06512: at "TERRY.INNER_P", line 3
--> ORA-06512: at "TERRY.PK", line 2
--> ORA-06512: at line 1
