\set i random(0, 99)
\set n random(0, 99)
\set party random(0, 99999)
UPDATE vpn_users SET last_calling_party = :party WHERE vpn_id = :i AND vpn_nb = :n;
