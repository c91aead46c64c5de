"""The typed messages of the internal network, one file per conversation."""
