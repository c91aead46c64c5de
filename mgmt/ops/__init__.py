"""Journaled, resumable operations."""
