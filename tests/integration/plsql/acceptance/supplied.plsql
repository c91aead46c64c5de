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

-- name: DBMS_SQL
DECLARE c INTEGER; n NUMBER; v VARCHAR2(30); r INTEGER; cnt INTEGER; d DBMS_SQL.DESC_TAB; ids DBMS_SQL.NUMBER_TABLE; BEGIN
 c := DBMS_SQL.OPEN_CURSOR; DBMS_SQL.PARSE(c, 'SELECT id, name FROM t WHERE id >= :lo ORDER BY id', DBMS_SQL.NATIVE); DBMS_SQL.BIND_VARIABLE(c, ':lo', 2); DBMS_SQL.DEFINE_COLUMN(c, 1, n); DBMS_SQL.DEFINE_COLUMN(c, 2, v, 30);
 DBMS_SQL.DESCRIBE_COLUMNS(c, cnt, d); dbms_output.put_line(cnt || d(1).col_name || d(1).col_type || d(2).col_name || d(2).col_type || ' ' || d(2).col_max_len);
 r := DBMS_SQL.EXECUTE(c); WHILE DBMS_SQL.FETCH_ROWS(c) > 0 LOOP DBMS_SQL.COLUMN_VALUE(c, 1, n); DBMS_SQL.COLUMN_VALUE(c, 2, v); dbms_output.put_line(n || v); END LOOP; dbms_output.put_line(DBMS_SQL.LAST_ROW_COUNT);
 DBMS_SQL.PARSE(c, 'INSERT INTO t (id, name) VALUES (:id, :nm)', DBMS_SQL.NATIVE); ids(1) := 10; ids(2) := 11; DBMS_SQL.BIND_ARRAY(c, 'id', ids); DBMS_SQL.BIND_VARIABLE(c, 'nm', 'arr'); dbms_output.put_line(DBMS_SQL.EXECUTE(c));
 DBMS_SQL.PARSE(c, 'UPDATE t SET name = name || :x WHERE id = 10 RETURNING name INTO :out', DBMS_SQL.NATIVE); DBMS_SQL.BIND_VARIABLE(c, 'x', '!'); DBMS_SQL.BIND_VARIABLE(c, 'out', v); r := DBMS_SQL.EXECUTE(c); DBMS_SQL.VARIABLE_VALUE(c, 'out', v); dbms_output.put_line(r || v);
 DBMS_SQL.PARSE(c, 'BEGIN :a := :b * :b; END;', DBMS_SQL.NATIVE); DBMS_SQL.BIND_VARIABLE(c, 'a', n); DBMS_SQL.BIND_VARIABLE(c, 'b', 6); r := DBMS_SQL.EXECUTE(c); DBMS_SQL.VARIABLE_VALUE(c, 'a', n); dbms_output.put_line(n);
 DBMS_SQL.PARSE(c, 'CREATE TABLE made_by_sql (a NUMBER)', DBMS_SQL.NATIVE); DBMS_SQL.PARSE(c, 'DROP TABLE made_by_sql', DBMS_SQL.NATIVE);
 IF DBMS_SQL.IS_OPEN(c) THEN DBMS_SQL.CLOSE_CURSOR(c); END IF; IF c IS NULL THEN dbms_output.put_line('closed'); END IF;
 BEGIN r := DBMS_SQL.EXECUTE(99); EXCEPTION WHEN INVALID_CURSOR THEN dbms_output.put_line('invalid'); END;
END;
/
--> 2ID2NAME1 30
--> 2n2
--> 3n3
--> 2
--> 2
--> 1arr!
--> 36
--> closed
--> invalid

-- name: DBMS_LOB
DECLARE c CLOB := 'hello world'; b BLOB := HEXTORAW('0102030405'); n INTEGER := 5; s VARCHAR2(100); BEGIN
 dbms_output.put_line(DBMS_LOB.GETLENGTH(c) || DBMS_LOB.SUBSTR(c, 5, 7) || DBMS_LOB.INSTR(c, 'o', 1, 2) || DBMS_LOB.COMPARE(c, 'hello') || ' ' || DBMS_LOB.GETLENGTH(b) || DBMS_LOB.SUBSTR(b, 2, 2) || DBMS_LOB.INSTR(b, HEXTORAW('04')));
 DBMS_LOB.APPEND(c, '!'); DBMS_LOB.WRITE(c, 5, 1, 'HELLO'); DBMS_LOB.WRITEAPPEND(c, 2, '??'); dbms_output.put_line(c); DBMS_LOB.READ(c, n, 7, s); dbms_output.put_line(s || n); DBMS_LOB.TRIM(c, 5); DBMS_LOB.COPY(c, 'xyz', 2, 6, 2); dbms_output.put_line(c); DBMS_LOB.ERASE(c, n, 1); dbms_output.put_line('[' || c || ']');
 DBMS_LOB.CREATETEMPORARY(c, TRUE); DBMS_LOB.WRITEAPPEND(c, 3, 'abc'); dbms_output.put_line(c); FOR i IN 1..2000 LOOP DBMS_LOB.APPEND(c, RPAD('z', 100)); END LOOP; dbms_output.put_line(DBMS_LOB.GETLENGTH(c)); END;
/
--> 11world81 502034
--> HELLO world!??
--> world5
--> HELLOyz
--> [     yz]
--> abc
--> 200003

-- name: UTL_RAW
BEGIN dbms_output.put_line(UTL_RAW.CAST_TO_VARCHAR2('4142') || UTL_RAW.LENGTH('414243') || UTL_RAW.CONCAT('41','42') || UTL_RAW.SUBSTR('414243', 2, 1) || UTL_RAW.BIT_AND('0F','3C') || UTL_RAW.XRANGE('01','03') || UTL_RAW.BIT_COMPLEMENT('0F') || ' ' || UTL_RAW.OVERLAY('AA', '112233', 2) || UTL_RAW.TRANSLATE('414243','4143','6163') || UTL_RAW.CAST_TO_NUMBER(UTL_RAW.CAST_FROM_NUMBER(-12.5)) || UTL_RAW.CAST_FROM_BINARY_INTEGER(258) || UTL_RAW.CAST_TO_BINARY_INTEGER('0102') || UTL_RAW.COMPARE('0102', '0103') || UTL_RAW.REVERSE('0102') || UTL_RAW.COPIES('01', 3)); END;
/
--> AB34142420C010203F0 11AA33614263-12.50000010225820201010101

-- name: DBMS_UTILITY, UTL_IDENT, TT_DB_VERSION
DECLARE n BINARY_INTEGER; l DBMS_UTILITY.UNCL_ARRAY; s VARCHAR2(100); v VARCHAR2(10); BEGIN DBMS_UTILITY.COMMA_TO_TABLE('a, b,c', n, l); DBMS_UTILITY.TABLE_TO_COMMA(l, n, s); dbms_output.put_line(n || l(2) || s); DBMS_UTILITY.DB_VERSION(v, s); dbms_output.put_line(v); 
IF UTL_IDENT.IS_TIMESTEN AND TT_DB_VERSION.VER_LE_2201 AND NOT TT_DB_VERSION.VER_LE_1122 THEN dbms_output.put_line('TimesTen'); END IF; dbms_output.put_line(DBMS_UTILITY.GET_HASH_VALUE('x', 0, 1024)); END;
/
--> 3ba,b,c
--> 22.1.1
--> TimesTen
--> 643

-- name: DBMS_SQL: arrays of columns, to a REF CURSOR and back
DECLARE c INTEGER; r INTEGER; ids DBMS_SQL.NUMBER_TABLE; nms DBMS_SQL.VARCHAR2_TABLE; BEGIN
 c := DBMS_SQL.OPEN_CURSOR; DBMS_SQL.PARSE(c, 'SELECT id, name FROM t ORDER BY id', DBMS_SQL.NATIVE);
 DBMS_SQL.DEFINE_ARRAY(c, 1, ids, 2, 5); DBMS_SQL.DEFINE_ARRAY(c, 2, nms, 2, 5); r := DBMS_SQL.EXECUTE(c);
 LOOP r := DBMS_SQL.FETCH_ROWS(c); DBMS_SQL.COLUMN_VALUE(c, 1, ids); DBMS_SQL.COLUMN_VALUE(c, 2, nms); EXIT WHEN r < 2; END LOOP;
 FOR i IN ids.FIRST .. ids.LAST LOOP dbms_output.put_line(i || ' ' || ids(i) || ' ' || nms(i)); END LOOP; DBMS_SQL.CLOSE_CURSOR(c);
END;
/
DECLARE c INTEGER; r INTEGER; rc SYS_REFCURSOR; n NUMBER; v VARCHAR2(30); d DBMS_SQL.DESC_TAB; k INTEGER; BEGIN
 c := DBMS_SQL.OPEN_CURSOR; DBMS_SQL.PARSE(c, 'SELECT id, name FROM t WHERE id > :a ORDER BY id', DBMS_SQL.NATIVE); DBMS_SQL.BIND_VARIABLE(c, 'a', 1);
 r := DBMS_SQL.EXECUTE(c); rc := DBMS_SQL.TO_REFCURSOR(c); FETCH rc INTO n, v; dbms_output.put_line(n || v);
 c := DBMS_SQL.TO_CURSOR_NUMBER(rc); DBMS_SQL.DESCRIBE_COLUMNS(c, k, d); DBMS_SQL.DEFINE_COLUMN(c, 1, n);
 WHILE DBMS_SQL.FETCH_ROWS(c) > 0 LOOP DBMS_SQL.COLUMN_VALUE(c, 1, n); dbms_output.put_line(n || d(2).col_name); END LOOP; DBMS_SQL.CLOSE_CURSOR(c);
 BEGIN c := DBMS_SQL.OPEN_CURSOR; rc := DBMS_SQL.TO_REFCURSOR(c); EXCEPTION WHEN OTHERS THEN dbms_output.put_line(SQLCODE); END;
END;
/
--> 5 1 n1
--> 6 2 n2
--> 7 3 n3
--> 2n2
--> 3NAME
--> -1002
