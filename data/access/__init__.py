"""Users, what they may do, how long their passwords live, and who may log in."""
