"""What management asks of a data instance."""
