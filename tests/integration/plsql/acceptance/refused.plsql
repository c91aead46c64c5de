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
