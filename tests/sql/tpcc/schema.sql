CREATE TABLE warehouse (
  w_id TT_INTEGER NOT NULL PRIMARY KEY,
  w_name VARCHAR2(10), w_street_1 VARCHAR2(20), w_city VARCHAR2(20), w_state CHAR(2), w_zip CHAR(9),
  w_tax NUMBER(4,4), w_ytd NUMBER(12,2)
) DISTRIBUTE BY HASH (w_id);

CREATE TABLE item (
  i_id TT_INTEGER NOT NULL PRIMARY KEY,
  i_im_id TT_INTEGER, i_name VARCHAR2(24), i_price NUMBER(5,2), i_data VARCHAR2(50)
) DUPLICATE;

CREATE TABLE district (
  d_id TT_TINYINT NOT NULL, d_w_id TT_INTEGER NOT NULL,
  d_name VARCHAR2(10), d_city VARCHAR2(20), d_tax NUMBER(4,4), d_ytd NUMBER(12,2),
  d_next_o_id TT_INTEGER,
  PRIMARY KEY (d_w_id, d_id),
  CONSTRAINT d_w FOREIGN KEY (d_w_id) REFERENCES warehouse (w_id)
) DISTRIBUTE BY REFERENCE (d_w);

CREATE TABLE customer (
  c_id TT_INTEGER NOT NULL, c_d_id TT_TINYINT NOT NULL, c_w_id TT_INTEGER NOT NULL,
  c_first VARCHAR2(16), c_middle CHAR(2), c_last VARCHAR2(16), c_since TIMESTAMP,
  c_credit CHAR(2), c_credit_lim NUMBER(12,2), c_discount NUMBER(4,4), c_balance NUMBER(12,2),
  c_ytd_payment NUMBER(12,2), c_payment_cnt TT_INTEGER, c_delivery_cnt TT_INTEGER,
  c_data VARCHAR2(500),
  PRIMARY KEY (c_w_id, c_d_id, c_id),
  CONSTRAINT c_d FOREIGN KEY (c_w_id, c_d_id) REFERENCES district (d_w_id, d_id)
) DISTRIBUTE BY REFERENCE (c_d);
CREATE INDEX customer_by_name ON customer (c_w_id, c_d_id, c_last, c_first);

CREATE TABLE history (
  h_c_id TT_INTEGER NOT NULL, h_c_d_id TT_TINYINT NOT NULL, h_c_w_id TT_INTEGER NOT NULL,
  h_d_id TT_TINYINT, h_w_id TT_INTEGER, h_date TIMESTAMP, h_amount NUMBER(6,2), h_data VARCHAR2(24),
  CONSTRAINT h_c FOREIGN KEY (h_c_w_id, h_c_d_id, h_c_id) REFERENCES customer (c_w_id, c_d_id, c_id)
) DISTRIBUTE BY REFERENCE (h_c);

CREATE TABLE orders (
  o_id TT_INTEGER NOT NULL, o_d_id TT_TINYINT NOT NULL, o_w_id TT_INTEGER NOT NULL,
  o_c_id TT_INTEGER NOT NULL, o_entry_d TIMESTAMP, o_carrier_id TT_INTEGER, o_ol_cnt TT_INTEGER,
  o_all_local TT_INTEGER,
  PRIMARY KEY (o_w_id, o_d_id, o_id),
  CONSTRAINT o_c FOREIGN KEY (o_w_id, o_d_id, o_c_id) REFERENCES customer (c_w_id, c_d_id, c_id)
) DISTRIBUTE BY REFERENCE (o_c);
CREATE INDEX orders_by_customer ON orders (o_w_id, o_d_id, o_c_id, o_id);

CREATE TABLE new_order (
  no_o_id TT_INTEGER NOT NULL, no_d_id TT_TINYINT NOT NULL, no_w_id TT_INTEGER NOT NULL,
  PRIMARY KEY (no_w_id, no_d_id, no_o_id),
  CONSTRAINT no_o FOREIGN KEY (no_w_id, no_d_id, no_o_id) REFERENCES orders (o_w_id, o_d_id, o_id)
) DISTRIBUTE BY REFERENCE (no_o);

CREATE TABLE stock (
  s_i_id TT_INTEGER NOT NULL, s_w_id TT_INTEGER NOT NULL, s_quantity TT_INTEGER,
  s_dist VARCHAR2(24), s_ytd NUMBER(8), s_order_cnt TT_INTEGER, s_remote_cnt TT_INTEGER,
  PRIMARY KEY (s_w_id, s_i_id),
  CONSTRAINT s_w FOREIGN KEY (s_w_id) REFERENCES warehouse (w_id),
  CONSTRAINT s_i FOREIGN KEY (s_i_id) REFERENCES item (i_id)
) DISTRIBUTE BY REFERENCE (s_w);

CREATE TABLE order_line (
  ol_o_id TT_INTEGER NOT NULL, ol_d_id TT_TINYINT NOT NULL, ol_w_id TT_INTEGER NOT NULL,
  ol_number TT_TINYINT NOT NULL, ol_i_id TT_INTEGER, ol_supply_w_id TT_INTEGER,
  ol_delivery_d TIMESTAMP, ol_quantity TT_INTEGER, ol_amount NUMBER(6,2), ol_dist_info VARCHAR2(24),
  PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number),
  CONSTRAINT ol_o FOREIGN KEY (ol_w_id, ol_d_id, ol_o_id) REFERENCES orders (o_w_id, o_d_id, o_id)
) DISTRIBUTE BY REFERENCE (ol_o);
