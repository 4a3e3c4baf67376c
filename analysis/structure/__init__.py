"""Displacement, strain statistics and d-spacing."""
