"""The PostgreSQL wire protocol v3, server side, without I/O."""
