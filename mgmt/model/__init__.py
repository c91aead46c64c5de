"""The grid model: versioned objects."""
