-- name: ttConfiguration
CALL ttConfiguration('TTGridEnable')
/
--= paramname=TTGridEnable paramvalue=1

-- name: ttCkpt, ttCompact, ttApplicationContext
CALL ttCkpt
/
CALL ttCompact()
/
CALL ttApplicationContext('my app')
/
SHOW application_name
/
--= application_name=my app

-- name: Classic only
CALL ttLockLevel('DS')
/
CALL ttRepStart
/
--! 0A000 ttLockLevel is not supported: locks are of rows; the hints TT_TblLock(1) and TT_RowLock(0) make a statement lock its table
--! 0A000 ttRepStart is not supported: it is for TimesTen Classic: each replica set replicates by itself

-- name: no such procedure
CALL ttNothing()
/
--! 0A000 there is no procedure ttNothing()

-- name: ttUserPrivileges
CALL ttUserPrivileges
/
--= username=TERRY privilege=CREATE MATERIALIZED VIEW
--= username=TERRY privilege=CREATE PROCEDURE
--= username=TERRY privilege=CREATE SEQUENCE
--= username=TERRY privilege=CREATE SESSION
--= username=TERRY privilege=CREATE SYNONYM
--= username=TERRY privilege=CREATE TABLE
--= username=TERRY privilege=CREATE VIEW

-- name: from blocks
BEGIN EXECUTE IMMEDIATE 'CALL ttLockWait(5)'; EXECUTE IMMEDIATE 'CALL ttOptUpdateStats(''t'')'; END;
/
DECLARE a VARCHAR2(30); b VARCHAR2(30); BEGIN EXECUTE IMMEDIATE 'CALL ttConfiguration(''TTGrid'')' INTO a, b; dbms_output.put_line(a || b); END;
/
--> TTGrid1
