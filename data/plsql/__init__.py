"""PL/SQL: text → tree → closures → run. The closures know nothing of sessions or the network."""
