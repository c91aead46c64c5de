"""One element on disk."""
