-- TPC-H for a grid: orders follow their customer and lineitems their order, partsupp its part;
-- what is small is in every replica set.
CREATE TABLE region (
    r_regionkey TT_INTEGER NOT NULL PRIMARY KEY,
    r_name      CHAR(25) NOT NULL,
    r_comment   VARCHAR2(152)
) DUPLICATE;
CREATE TABLE nation (
    n_nationkey TT_INTEGER NOT NULL PRIMARY KEY,
    n_name      CHAR(25) NOT NULL,
    n_regionkey TT_INTEGER NOT NULL,
    n_comment   VARCHAR2(152),
    FOREIGN KEY (n_regionkey) REFERENCES region (r_regionkey)
) DUPLICATE;
CREATE TABLE supplier (
    s_suppkey   TT_INTEGER NOT NULL PRIMARY KEY,
    s_name      CHAR(25) NOT NULL,
    s_address   VARCHAR2(40) NOT NULL,
    s_nationkey TT_INTEGER NOT NULL,
    s_phone     CHAR(15) NOT NULL,
    s_acctbal   NUMBER(15,2) NOT NULL,
    s_comment   VARCHAR2(101) NOT NULL,
    FOREIGN KEY (s_nationkey) REFERENCES nation (n_nationkey)
) DUPLICATE;
CREATE TABLE part (
    p_partkey     TT_INTEGER NOT NULL PRIMARY KEY,
    p_name        VARCHAR2(55) NOT NULL,
    p_mfgr        CHAR(25) NOT NULL,
    p_brand       CHAR(10) NOT NULL,
    p_type        VARCHAR2(25) NOT NULL,
    p_size        TT_INTEGER NOT NULL,
    p_container   CHAR(10) NOT NULL,
    p_retailprice NUMBER(15,2) NOT NULL,
    p_comment     VARCHAR2(23) NOT NULL
) DISTRIBUTE BY HASH (p_partkey);
CREATE TABLE partsupp (
    ps_partkey    TT_INTEGER NOT NULL,
    ps_suppkey    TT_INTEGER NOT NULL,
    ps_availqty   TT_INTEGER NOT NULL,
    ps_supplycost NUMBER(15,2) NOT NULL,
    ps_comment    VARCHAR2(199) NOT NULL,
    PRIMARY KEY (ps_partkey, ps_suppkey),
    CONSTRAINT ps_part FOREIGN KEY (ps_partkey) REFERENCES part (p_partkey)
) DISTRIBUTE BY REFERENCE (ps_part);
CREATE TABLE customer (
    c_custkey    TT_INTEGER NOT NULL PRIMARY KEY,
    c_name       VARCHAR2(25) NOT NULL,
    c_address    VARCHAR2(40) NOT NULL,
    c_nationkey  TT_INTEGER NOT NULL,
    c_phone      CHAR(15) NOT NULL,
    c_acctbal    NUMBER(15,2) NOT NULL,
    c_mktsegment CHAR(10) NOT NULL,
    c_comment    VARCHAR2(117) NOT NULL
) DISTRIBUTE BY HASH (c_custkey);
CREATE TABLE orders (
    o_orderkey      TT_BIGINT NOT NULL PRIMARY KEY,
    o_custkey       TT_INTEGER NOT NULL,
    o_orderstatus   CHAR(1) NOT NULL,
    o_totalprice    NUMBER(15,2) NOT NULL,
    o_orderdate     DATE NOT NULL,
    o_orderpriority CHAR(15) NOT NULL,
    o_clerk         CHAR(15) NOT NULL,
    o_shippriority  TT_INTEGER NOT NULL,
    o_comment       VARCHAR2(79) NOT NULL,
    CONSTRAINT o_customer FOREIGN KEY (o_custkey) REFERENCES customer (c_custkey)
) DISTRIBUTE BY REFERENCE (o_customer);
CREATE TABLE lineitem (
    l_orderkey      TT_BIGINT NOT NULL,
    l_partkey       TT_INTEGER NOT NULL,
    l_suppkey       TT_INTEGER NOT NULL,
    l_linenumber    TT_INTEGER NOT NULL,
    l_quantity      NUMBER(15,2) NOT NULL,
    l_extendedprice NUMBER(15,2) NOT NULL,
    l_discount      NUMBER(15,2) NOT NULL,
    l_tax           NUMBER(15,2) NOT NULL,
    l_returnflag    CHAR(1) NOT NULL,
    l_linestatus    CHAR(1) NOT NULL,
    l_shipdate      DATE NOT NULL,
    l_commitdate    DATE NOT NULL,
    l_receiptdate   DATE NOT NULL,
    l_shipinstruct  CHAR(25) NOT NULL,
    l_shipmode      CHAR(10) NOT NULL,
    l_comment       VARCHAR2(44) NOT NULL,
    CONSTRAINT l_order FOREIGN KEY (l_orderkey) REFERENCES orders (o_orderkey)
) DISTRIBUTE BY REFERENCE (l_order);
CREATE INDEX l_part ON lineitem (l_partkey, l_suppkey);
