"""Validate, change the model, start an operation: one file per noun."""
