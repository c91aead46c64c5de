"""Which buckets a replica set owns, and moving them while clients work. See DESIGN.md."""
