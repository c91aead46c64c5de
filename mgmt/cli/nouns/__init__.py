"""One file per noun: its part of the table of commands, each with request and renderer."""
