"""The processes: the only place that knows all parts."""
