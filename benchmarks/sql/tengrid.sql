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
