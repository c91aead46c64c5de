"""One replica set: lead, copies, terms, catch-up."""
