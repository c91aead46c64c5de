CREATE TABLE customers (
  cust_id INTEGER NOT NULL PRIMARY KEY,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  addr1 TEXT,
  addr2 TEXT,
  zipcode TEXT,
  member_since TEXT NOT NULL
);
