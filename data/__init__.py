"""A data instance: one element of each database."""
