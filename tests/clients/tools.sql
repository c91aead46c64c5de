CREATE TABLE tool_customers (
  cust_id NUMBER(10) NOT NULL PRIMARY KEY,
  name VARCHAR2(30) NOT NULL,
  email VARCHAR2(40) UNIQUE,
  credit NUMBER(10,2) DEFAULT 0 CHECK (credit >= 0),
  born DATE,
  moment TIMESTAMP(3),
  f BINARY_DOUBLE,
  c CHAR(5),
  vb VARBINARY(10)
) DISTRIBUTE BY HASH (cust_id);
CREATE TABLE tool_accounts (
  account_id NUMBER(10) NOT NULL PRIMARY KEY,
  cust_id NUMBER(10) NOT NULL,
  kind CHAR(1),
  CONSTRAINT tool_owner FOREIGN KEY (cust_id) REFERENCES tool_customers (cust_id) ON DELETE CASCADE
) DISTRIBUTE BY REFERENCE (tool_owner);
CREATE TABLE tool_kinds (kind CHAR(1) PRIMARY KEY, description VARCHAR2(20)) DUPLICATE;
CREATE TABLE "Tool Mixed" ("Id" INT, "select" INT, PRIMARY KEY ("Id"));
CREATE INDEX tool_by_name ON tool_customers (name DESC, credit);
CREATE GLOBAL INDEX tool_by_kind ON tool_accounts (kind);
CREATE VIEW tool_rich AS SELECT cust_id, name FROM tool_customers WHERE credit >= 10;
CREATE SEQUENCE tool_seq START WITH 5 INCREMENT BY 2 BATCH 100;
COMMENT ON TABLE tool_customers IS 'who buys';
COMMENT ON COLUMN tool_customers.name IS 'family name';
GRANT SELECT ON tool_customers TO PUBLIC;
INSERT INTO tool_customers (cust_id, name, email) VALUES (1, 'Ann', 'a@x'), (2, 'Bob', NULL);
