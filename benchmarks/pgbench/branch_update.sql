\set id random(1, 5000)
UPDATE bank SET balance = balance + 1 WHERE branch = :branch AND id = :id;
