-- name: nested tables as multisets
DECLARE TYPE nt IS TABLE OF NUMBER; a nt := nt(1,2,3); b nt := nt(3,2,1); c nt := nt(1,2); d nt; e nt;
BEGIN
 IF a = b THEN dbms_output.put_line('equal'); END IF;
 IF a <> c THEN dbms_output.put_line('unequal'); END IF;
 IF c SUBMULTISET OF a THEN dbms_output.put_line('sub'); END IF;
 IF 3 MEMBER OF a AND NOT 9 MEMBER OF a AND 9 NOT MEMBER OF a THEN dbms_output.put_line('member'); END IF;
 d := a MULTISET UNION c; dbms_output.put_line(d.COUNT || ' ' || CARDINALITY(SET(d)));
 d := a MULTISET UNION DISTINCT c; dbms_output.put_line(d.COUNT);
 d := a MULTISET EXCEPT c; dbms_output.put_line(d.COUNT || d(1));
 d := a MULTISET INTERSECT c; dbms_output.put_line(d.COUNT);
 IF d IS A SET AND d IS NOT EMPTY THEN dbms_output.put_line('set'); END IF;
 IF e IS EMPTY THEN NULL; ELSE dbms_output.put_line('null is not empty'); END IF;
 IF (e = a) IS NULL THEN dbms_output.put_line('unknown'); END IF;
END;
/
--> equal
--> unequal
--> sub
--> member
--> 5 3
--> 3
--> 13
--> 2
--> set
--> null is not empty
--> unknown

-- name: varrays cannot be compared
DECLARE TYPE va IS VARRAY(3) OF NUMBER; a va := va(1); b va := va(1); BEGIN IF a = b THEN NULL; END IF; END;
/
--! 42601 TT1001: records, associative arrays and varrays cannot be compared

-- name: methods
DECLARE
 TYPE nt IS TABLE OF VARCHAR2(5); TYPE va IS VARRAY(5) OF NUMBER; TYPE aa IS TABLE OF NUMBER INDEX BY VARCHAR2(10); a nt := nt('a','b','c','d'); v va := va(1,2); h aa; k VARCHAR2(10); n nt; e nt := nt();
BEGIN
 a.DELETE(2); a.DELETE(9); dbms_output.put_line(a.COUNT || a.FIRST || a.LAST || a.NEXT(1) || a.PRIOR(3) || NVL(a.NEXT(4), -1));
 BEGIN dbms_output.put_line(a(2)); EXCEPTION WHEN NO_DATA_FOUND THEN dbms_output.put_line('deleted'); END;
 a(2) := 'again'; a.EXTEND(2, 1); a.TRIM; dbms_output.put_line(a.COUNT || a(5) || a(2)); a.DELETE(1, 3); dbms_output.put_line(a.COUNT || a.FIRST);
 BEGIN a(99) := 'x'; EXCEPTION WHEN SUBSCRIPT_BEYOND_COUNT THEN dbms_output.put_line(SQLCODE); END;
 BEGIN a(0) := 'x'; EXCEPTION WHEN SUBSCRIPT_OUTSIDE_LIMIT THEN dbms_output.put_line(SQLCODE); END;
 BEGIN v(6) := 1; EXCEPTION WHEN SUBSCRIPT_OUTSIDE_LIMIT THEN dbms_output.put_line(SQLCODE); END;
 v.EXTEND(2); v(4) := 4; dbms_output.put_line(v.COUNT || ' ' || v.LIMIT || NVL(TO_CHAR(v(3)), 'null')); v.TRIM(3); dbms_output.put_line(v.COUNT); v.DELETE; dbms_output.put_line(v.COUNT);
 h('x') := 1; h('b') := 2; h('X') := 3; k := h.FIRST; WHILE k IS NOT NULL LOOP dbms_output.put(k || h(k) || ' '); k := h.NEXT(k); END LOOP; dbms_output.new_line;
 dbms_output.put_line(h.PRIOR('x') || CASE WHEN h.EXISTS('q') THEN 'q' END || CASE WHEN e IS EMPTY THEN 'empty' END || NVL(TO_CHAR(e.FIRST), 'none')); h.DELETE('x'); h.DELETE; dbms_output.put_line(h.COUNT);
 BEGIN n(1) := 'x'; EXCEPTION WHEN COLLECTION_IS_NULL THEN dbms_output.put_line(SQLCODE); END; n := nt(); IF n IS NOT NULL AND NOT n.EXISTS(1) THEN n.EXTEND; dbms_output.put_line(n.COUNT); END IF;
 BEGIN e.TRIM; EXCEPTION WHEN SUBSCRIPT_BEYOND_COUNT THEN dbms_output.put_line('trim'); END;
 a := NULL; IF a IS NULL THEN dbms_output.put_line('null'); END IF;
END;
/
--> 31431-1
--> deleted
--> 5aagain
--> 24
--> -6533
--> -6532
--> -6532
--> 4 5null
--> 1
--> 0
--> X3 b2 x1
--> bemptynone
--> 0
--> -6531
--> 1
--> trim
--> null

-- name: collections in collections
DECLARE TYPE inner_t IS TABLE OF NUMBER; TYPE outer_t IS TABLE OF inner_t; o outer_t := outer_t(inner_t(1,2), inner_t(3)); TYPE r IS RECORD (id NUMBER, l inner_t); TYPE rt IS TABLE OF r; x rt := rt(); rr r;
BEGIN o(1)(2) := 9; o.EXTEND; o(3) := inner_t(7, 8); dbms_output.put_line(o(1)(2) || o(3)(1) || o.COUNT || o(3).COUNT); x.EXTEND; x(1).id := 5; x(1).l := inner_t(4); x(1).l.EXTEND; dbms_output.put_line(x(1).id || x(1).l(1) || x(1).l.COUNT); rr := x(1); rr.l(1) := 0; dbms_output.put_line(x(1).l(1)); END;
/
--> 9732
--> 542
--> 4

-- name: places of deleted elements stay until they are trimmed
DECLARE
  TYPE nt IS TABLE OF NUMBER;
  a nt := nt(1, 2, 3);
  b nt;
BEGIN
  a.DELETE(3);
  b := a;
  a.TRIM;
  DBMS_OUTPUT.PUT_LINE(a.COUNT || ' ' || a.LAST);
  b(3) := 5;
  DBMS_OUTPUT.PUT_LINE(b.COUNT || ' ' || b(3));
  b.DELETE(3);
  b.EXTEND;
  DBMS_OUTPUT.PUT_LINE(b.COUNT || ' ' || b.LAST);
  a := nt(1, 2, 3);
  a.DELETE(2);
  a.TRIM;
  a.EXTEND(2, 1);
  DBMS_OUTPUT.PUT_LINE(a.COUNT || ' ' || a.LAST || ' ' || a(4));
  a.DELETE;
  a.EXTEND;
  DBMS_OUTPUT.PUT_LINE(a.COUNT || ' ' || a.LAST);
  a.DELETE(1);
  a.TRIM;
  BEGIN
    a.TRIM;
  EXCEPTION
    WHEN SUBSCRIPT_BEYOND_COUNT THEN DBMS_OUTPUT.PUT_LINE('nothing to trim');
  END;
END;
/
--> 2 2
--> 3 5
--> 3 4
--> 3 4 1
--> 1 1
--> nothing to trim

-- name: reading beyond the places there are
DECLARE
  TYPE nested IS TABLE OF NUMBER; TYPE varying IS VARRAY(2) OF NUMBER;
  n nested := nested(1); v varying := varying(1);
  PROCEDURE show(p_list IN OUT nested, p_at NUMBER) IS BEGIN
    DBMS_OUTPUT.PUT_LINE(p_list(p_at)); EXCEPTION WHEN OTHERS THEN DBMS_OUTPUT.PUT_LINE(SQLCODE); END;
BEGIN
  show(n, 0); show(n, 2);
  FOR i IN 1 .. 3 LOOP
    BEGIN DBMS_OUTPUT.PUT_LINE(v(i)); EXCEPTION WHEN OTHERS THEN DBMS_OUTPUT.PUT_LINE(SQLCODE); END;
  END LOOP;
END;
/
--> -6532
--> -6533
--> 1
--> -6533
--> -6532
