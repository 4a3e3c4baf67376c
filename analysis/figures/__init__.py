"""The figures, each (data, ax=None) -> Figure."""
