"""Clients of our own: ttIsql."""
