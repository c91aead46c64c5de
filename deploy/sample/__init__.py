"""The sample: customers of a phone company, their accounts and transactions."""
