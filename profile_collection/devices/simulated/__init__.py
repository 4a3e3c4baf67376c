"""Devices whose hardware is the twin, an injected object."""
