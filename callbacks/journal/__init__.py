"""The journal of a run, and the way of its documents back into the catalogue: none lost, none doubled."""
