-- name: conditional compilation
BEGIN $IF TRUE $THEN NULL; $END END;
/
--! 0A000 conditional compilation ($IF, $$NAME, $ERROR) is not supported

-- name: autonomous transactions
DECLARE PRAGMA AUTONOMOUS_TRANSACTION; BEGIN NULL; END;
/
--! 0A000 PRAGMA AUTONOMOUS_TRANSACTION is not supported
