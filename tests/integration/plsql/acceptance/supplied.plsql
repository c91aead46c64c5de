-- name: DBMS_OUTPUT.GET_LINE and GET_LINES
DECLARE l VARCHAR2(100); s NUMBER; a DBMS_OUTPUT.CHARARR; n NUMBER := 10; BEGIN
dbms_output.put_line('one'); dbms_output.put_line('two'); dbms_output.put_line(''); dbms_output.put_line('four');
dbms_output.get_line(l, s); dbms_output.get_lines(a, n); dbms_output.put_line('got ' || l || s || n || a(1) || a(3)); END;
/
--> one
--> two
-->
--> four
--> got one03twofour
