-- name: conditional compilation
BEGIN $IF TRUE $THEN NULL; $END END;
/
--! 0A000 conditional compilation ($IF, $$NAME, $ERROR) is not supported

-- name: autonomous transactions
DECLARE PRAGMA AUTONOMOUS_TRANSACTION; BEGIN NULL; END;
/
--! 0A000 PRAGMA AUTONOMOUS_TRANSACTION is not supported

-- name: UTL_FILE
BEGIN UTL_FILE.FCLOSE_ALL; END;
/
--! 0A000 UTL_FILE is not supported

-- name: a type of UTL_FILE
DECLARE f UTL_FILE.FILE_TYPE; BEGIN NULL; END;
/
--! 0A000 UTL_FILE is not supported

-- name: DBMS_PREPROCESSOR
BEGIN dbms_output.put_line(DBMS_PREPROCESSOR.GET_POST_PROCESSED_SOURCE('x')); END;
/
--! 0A000 DBMS_PREPROCESSOR is not supported
