-- name: scalar types and their limits
DECLARE
 a PLS_INTEGER := 7.5; b SIMPLE_INTEGER := 1; c NATURAL := 0; d POSITIVE := 1; e SIGNTYPE := -1;
 f BINARY_DOUBLE := 1.5; g BINARY_FLOAT := 0.25f; h NUMBER(5,-2) := 12345; i NUMBER(3) := 2.5;
 j CHAR := 'x'; k RAW(4) := HEXTORAW('0aff'); l TIMESTAMP := TIMESTAMP '2024-05-06 07:08:09.123456'; m INTERVAL DAY TO SECOND := INTERVAL '1 02:03:04' DAY TO SECOND; n INTERVAL YEAR TO MONTH := INTERVAL '1-2' YEAR TO MONTH;
 o CLOB := 'clob'; p BLOB := HEXTORAW('01'); q BOOLEAN := TRUE; r DATE := DATE '2024-05-06'; s NVARCHAR2(5) := N'é'; tt TT_INTEGER := 5; tb TT_BIGINT := 6;
BEGIN
 dbms_output.put_line(a || ' ' || b || c || d || e || ' ' || f || ' ' || g || ' ' || h || ' ' || i || j || k);
 dbms_output.put_line(l); dbms_output.put_line(m); dbms_output.put_line(n); dbms_output.put_line(o || RAWTOHEX(p) || r || s || tt || tb);
 BEGIN a := 2147483647; a := a + 1; EXCEPTION WHEN OTHERS THEN dbms_output.put_line('overflow ' || SQLCODE); END;
 BEGIN d := 0; EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('positive'); END;
 BEGIN b := NULL; EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('simple'); END;
 BEGIN i := 1000; EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line(SQLERRM); END;
 BEGIN j := 'xx'; EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line(SQLERRM); END;
END;
/
--> 8 101-1 1.5 0.25 12300 3x0AFF
--> 2024-05-06 07:08:09.123456
--> +000000001 02:03:04.000000
--> +000000001-02
--> clob012024-05-06 00:00:00é56
--> overflow -1426
--> positive
--> simple
--> ORA-06502: PL/SQL: numeric or value error: number precision too large
--> ORA-06502: PL/SQL: numeric or value error: character string buffer too small

-- name: TYPE and ROWTYPE of everything
DECLARE
 n NUMBER(3) := 7; m n%TYPE := 8; r t%ROWTYPE; f r.name%TYPE := 'f'; g t.id%TYPE := 1; CURSOR c IS SELECT id AS x, name || '!' y FROM t; cr c%ROWTYPE; z cr.y%TYPE := 'z'; rr r%TYPE;
 TYPE rec IS RECORD (a NUMBER, b t%ROWTYPE, c n%TYPE DEFAULT 4); q rec; qq q%TYPE; qb q.b%TYPE; TYPE nt IS TABLE OF t%ROWTYPE INDEX BY PLS_INTEGER; l nt; le l%TYPE;
BEGIN r.id := 3; q.b := r; qq := q; qb := qq.b; l(1) := r; le := l; dbms_output.put_line(m || f || g || z || qb.id || qq.c || le(1).id); END;
/
--> 8f1z343

-- name: subtypes with RANGE and NOT NULL
DECLARE
 SUBTYPE small IS NUMBER(2); SUBTYPE pos IS PLS_INTEGER RANGE 1..9; SUBTYPE nm IS t.name%TYPE NOT NULL; a small := 5; b pos := 3; c nm := 'x';
BEGIN
 BEGIN a := 100; EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('small'); END;
 BEGIN b := 10; dbms_output.put_line('range not checked'); EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('range'); END;
 BEGIN c := NULL; dbms_output.put_line('not null not checked'); EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('not null'); END;
END;
/
--> small
--> range
--> not null

-- name: fields that are NOT NULL
DECLARE TYPE rec IS RECORD (a NUMBER NOT NULL := 1, b VARCHAR2(3)); r rec; s rec; BEGIN r.b := 'x'; s := r; dbms_output.put_line(s.a || s.b); BEGIN r.a := NULL; dbms_output.put_line('no check'); EXCEPTION WHEN VALUE_ERROR THEN dbms_output.put_line('not null'); END; END;
/
--> 1x
--> not null

-- name: types of the system's views
DECLARE r user_tables%ROWTYPE; v all_objects.object_name%TYPE; d sys.dual%ROWTYPE;
BEGIN
 SELECT * INTO d FROM dual;
 SELECT object_name INTO v FROM all_objects WHERE object_name = 'T' AND object_type = 'TABLE';
 SELECT * INTO r FROM user_tables WHERE table_name = v; dbms_output.put_line(d.dummy || r.table_name || LENGTH(v));
END;
/
--> XT1
