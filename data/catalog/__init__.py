"""Tables, columns, indexes, users: the dictionary of a database."""
