"""Transactions: locks, two-phase commit, recovery."""
