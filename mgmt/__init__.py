"""A management instance and its commands."""
