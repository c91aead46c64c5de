"""Element reports rolled up to replica set and database status."""
