\set id random(1, 5000)
SELECT balance FROM bank WHERE branch = :branch AND id = :id;
