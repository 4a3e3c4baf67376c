"""Bluesky plans: alignment, rocking scan, temperature series, dry run and time estimate."""
