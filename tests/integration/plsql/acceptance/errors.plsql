-- name: USER_ERRORS of a procedure, every fault
CREATE OR REPLACE PROCEDURE faulty(a NUMBER) IS
 n NUMBER;
BEGIN
 n := nowhere;
 m := 1;
 SELECT x INTO n FROM no_such_table;
 IF n > 0 THEN
   undefined_proc(1);
 END IF;
END;
/
SELECT type, sequence, line, position, text, attribute FROM user_errors WHERE name = 'FAULTY' ORDER BY sequence
/
--> the procedure was created with compilation errors: identifier 'NOWHERE' must be declared
--= type=PROCEDURE sequence=1 line=4 position=7 text=PLS-00201: identifier 'NOWHERE' must be declared attribute=ERROR
--= type=PROCEDURE sequence=2 line=5 position=2 text=PLS-00201: identifier 'M' must be declared attribute=ERROR
--= type=PROCEDURE sequence=3 line=6 position=2 text=PL/SQL: ORA-00942: relation "no_such_table" does not exist attribute=ERROR
--= type=PROCEDURE sequence=4 line=8 position=4 text=PLS-00201: identifier 'UNDEFINED_PROC' must be declared attribute=ERROR

-- name: a package body with a fault, and what the views say
CREATE OR REPLACE PROCEDURE faulty(a NUMBER) IS
 n NUMBER;
BEGIN
 n := nowhere;
 m := 1;
 SELECT x INTO n FROM no_such_table;
 IF n > 0 THEN
   undefined_proc(1);
 END IF;
END;
/
CREATE OR REPLACE PACKAGE pk IS PROCEDURE a(x NUMBER, y OUT t.name%TYPE); FUNCTION b(z IN OUT DATE, w VARCHAR2 DEFAULT 'q') RETURN BOOLEAN; END;
/
CREATE OR REPLACE PACKAGE BODY pk IS PROCEDURE a(x NUMBER, y OUT t.name%TYPE) IS BEGIN SELECT name INTO y FROM t WHERE id = x; END;
 FUNCTION b(z IN OUT DATE, w VARCHAR2 DEFAULT 'q') RETURN BOOLEAN IS BEGIN z := sq.NEXTVAL + oops; RETURN TRUE; END; END;
/
SELECT name, type, line, text FROM user_errors WHERE name = 'PK'
/
SELECT object_name, package_name, argument_name, position, data_type, in_out, defaulted FROM user_arguments WHERE package_name = 'PK' ORDER BY package_name, object_name, sequence
/
SELECT object_name, procedure_name, object_type, authid FROM user_procedures WHERE object_name IN ('FAULTY', 'PK') ORDER BY 1, 2
/
SELECT object_name, object_type, status FROM user_objects WHERE object_name IN ('FAULTY', 'PK') ORDER BY 1, 2
/
CREATE OR REPLACE PACKAGE BODY pk IS PROCEDURE a(x NUMBER, y OUT t.name%TYPE) IS BEGIN SELECT name INTO y FROM t WHERE id = x; END;
 FUNCTION b(z IN OUT DATE, w VARCHAR2 DEFAULT 'q') RETURN BOOLEAN IS n NUMBER; BEGIN n := sq.NEXTVAL; RETURN TRUE; END; END;
/
SELECT name, referenced_owner, referenced_name, referenced_type FROM user_dependencies WHERE name = 'PK' ORDER BY 1, 3
/
SELECT name, plsql_optimize_level, plsql_code_type FROM user_plsql_object_settings WHERE name = 'FAULTY' ORDER BY 1
/
--> the procedure was created with compilation errors: identifier 'NOWHERE' must be declared
--> the package body was created with compilation errors: identifier 'OOPS' must be declared
--= name=PK type=PACKAGE BODY line=2 text=PLS-00201: identifier 'OOPS' must be declared
--= object_name=A package_name=PK argument_name=X position=1 data_type=NUMBER in_out=IN defaulted=N
--= object_name=A package_name=PK argument_name=Y position=2 data_type=T.NAME%TYPE in_out=OUT defaulted=N
--= object_name=B package_name=PK argument_name=None position=0 data_type=BOOLEAN in_out=OUT defaulted=N
--= object_name=B package_name=PK argument_name=Z position=1 data_type=DATE in_out=IN/OUT defaulted=N
--= object_name=B package_name=PK argument_name=W position=2 data_type=VARCHAR2 in_out=IN defaulted=Y
--= object_name=FAULTY procedure_name=None object_type=PROCEDURE authid=DEFINER
--= object_name=PK procedure_name=A object_type=PACKAGE authid=DEFINER
--= object_name=PK procedure_name=B object_type=PACKAGE authid=DEFINER
--= object_name=PK procedure_name=None object_type=PACKAGE authid=DEFINER
--= object_name=FAULTY object_type=PROCEDURE status=INVALID
--= object_name=PK object_type=PACKAGE status=VALID
--= object_name=PK object_type=PACKAGE BODY status=INVALID
--= name=PK referenced_owner=TERRY referenced_name=SQ referenced_type=SEQUENCE
--= name=PK referenced_owner=TERRY referenced_name=T referenced_type=TABLE
--= name=FAULTY plsql_optimize_level=2 plsql_code_type=INTERPRETED
