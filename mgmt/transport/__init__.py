"""How steps are carried out on a host."""
