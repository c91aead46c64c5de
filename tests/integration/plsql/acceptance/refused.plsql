-- name: conditional compilation
BEGIN $IF TRUE $THEN NULL; $END END;
/
--! 0A000 conditional compilation ($IF, $$NAME, $ERROR) is not supported

-- name: autonomous transactions
DECLARE PRAGMA AUTONOMOUS_TRANSACTION; BEGIN NULL; END;
/
--! 0A000 PRAGMA AUTONOMOUS_TRANSACTION is not supported

-- name: UTL_FILE needs ADMIN
DECLARE f UTL_FILE.FILE_TYPE; BEGIN f := UTL_FILE.FOPEN('UTL_FILE_TEMP', 'a', 'w'); END;
/
--! 42501 TT15100: UTL_FILE needs the privilege ADMIN

-- name: DBMS_PREPROCESSOR
BEGIN dbms_output.put_line(DBMS_PREPROCESSOR.GET_POST_PROCESSED_SOURCE('x')); END;
/
--! 0A000 DBMS_PREPROCESSOR is not supported

-- name: the end of something else
CREATE OR REPLACE PROCEDURE ending IS BEGIN NULL; END other;
/
--> the procedure was created with compilation errors: END identifier 'OTHER' must match 'ENDING'

-- name: the end of another loop
BEGIN <<one>> FOR i IN 1..2 LOOP <<two>> LOOP EXIT; END LOOP one; END LOOP; END;
/
--! 42601 TT1001: END identifier 'ONE' must match 'TWO'

-- name: the end of another package
CREATE OR REPLACE PACKAGE ending_pack IS n NUMBER; END pack;
/
--> the package was created with compilation errors: END identifier 'PACK' must match 'ENDING_PACK'

-- name: numbers that no error has
DECLARE e EXCEPTION; PRAGMA EXCEPTION_INIT(e, -1403); BEGIN NULL; END;
/
--! 42601 TT1001: -1403 is no number of an error for PRAGMA EXCEPTION_INIT
