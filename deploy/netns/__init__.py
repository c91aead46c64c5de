"""The eight-host grid G3 of the documentation on one Linux machine, a network namespace a host."""
