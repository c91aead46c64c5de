\set i random(0, 99)
\set n random(0, 99)
SELECT directory_nb, last_calling_party, descr FROM vpn_users WHERE vpn_id = :i AND vpn_nb = :n;
