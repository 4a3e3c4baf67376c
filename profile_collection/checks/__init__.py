"""Checks of the whole: results against the simulation's truth, and a campaign of faults."""
