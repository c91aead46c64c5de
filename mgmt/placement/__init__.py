"""Replica sets and distribution maps."""
