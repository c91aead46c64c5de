CREATE TABLE vpn_users (
  vpn_id INTEGER NOT NULL,
  vpn_nb INTEGER NOT NULL,
  directory_nb CHAR(10) NOT NULL,
  last_calling_party CHAR(10) NOT NULL,
  descr CHAR(100) NOT NULL,
  PRIMARY KEY (vpn_id, vpn_nb)
) ENGINE=InnoDB;
