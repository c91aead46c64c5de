CREATE TABLE vpn_users (
  vpn_id TT_INTEGER NOT NULL,
  vpn_nb TT_INTEGER NOT NULL,
  directory_nb CHAR(10) NOT NULL,
  last_calling_party CHAR(10) NOT NULL,
  descr CHAR(100) NOT NULL,
  PRIMARY KEY (vpn_id, vpn_nb)
) DISTRIBUTE BY HASH(vpn_id, vpn_nb);

CREATE TABLE bank (
  branch TT_INTEGER NOT NULL,
  id TT_INTEGER NOT NULL,
  balance TT_BIGINT NOT NULL,
  PRIMARY KEY (branch, id)
) DISTRIBUTE BY HASH(branch);

CREATE TABLE customers (
  cust_id TT_INTEGER NOT NULL PRIMARY KEY,
  first_name VARCHAR2(30) NOT NULL,
  last_name VARCHAR2(30) NOT NULL,
  addr1 VARCHAR2(64),
  addr2 VARCHAR2(64),
  zipcode VARCHAR2(5),
  member_since DATE NOT NULL
) DISTRIBUTE BY HASH;
