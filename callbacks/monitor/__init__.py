"""The monitor: a page that follows a series from its documents and results, and reads only."""
