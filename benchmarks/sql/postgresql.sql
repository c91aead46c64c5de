CREATE TABLE vpn_users (
  vpn_id INTEGER NOT NULL,
  vpn_nb INTEGER NOT NULL,
  directory_nb CHAR(10) NOT NULL,
  last_calling_party CHAR(10) NOT NULL,
  descr CHAR(100) NOT NULL,
  PRIMARY KEY (vpn_id, vpn_nb)
);

CREATE TABLE bank (
  branch INTEGER NOT NULL,
  id INTEGER NOT NULL,
  balance BIGINT NOT NULL,
  PRIMARY KEY (branch, id)
);

CREATE TABLE customers (
  cust_id INTEGER NOT NULL PRIMARY KEY,
  first_name VARCHAR(30) NOT NULL,
  last_name VARCHAR(30) NOT NULL,
  addr1 VARCHAR(64),
  addr2 VARCHAR(64),
  zipcode VARCHAR(5),
  member_since TIMESTAMP(0) NOT NULL
);
