"""Ophyd devices: shared classes here, `simulated` on an injected twin, `epics` over Channel Access.

Both forms have the same attributes; plans see attribute names only. Nothing is imported here, for ophyd
starts Channel Access, whose addresses `devices.epics.process_variables` must be able to tell before.
"""
