"""The HTTP API of the management instance."""
