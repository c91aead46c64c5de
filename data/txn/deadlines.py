"""How long a coordinator waits, in seconds."""

FAILOVER_WAIT_S = 10.0  # a statement, for a replica set to get a lead
DECISION_WAIT_S = 60.0  # a commit, for its outcome; then it says "unknown"
