"""SQL clients from outside."""
