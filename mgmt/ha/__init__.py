"""Active and standby management."""
