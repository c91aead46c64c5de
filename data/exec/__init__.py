"""Plans carried out on local and remote elements."""
