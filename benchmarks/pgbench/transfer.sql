\set payer random(1, 2500)
\set payee random(2501, 5000)
\set amount random(-100, 100)
BEGIN;
UPDATE bank SET balance = balance - :amount WHERE branch = :first AND id = :payer;
UPDATE bank SET balance = balance + :amount WHERE branch = :second AND id = :payee;
COMMIT;
