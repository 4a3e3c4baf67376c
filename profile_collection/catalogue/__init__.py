"""The catalogue: the one process that opens it, its guard, its client."""
