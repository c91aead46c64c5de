"""SQL text to statement to plan; the only user of sqlglot."""
