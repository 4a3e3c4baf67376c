"""Ophyd devices: diffractometer, heated stage, Merlin detector and beam."""
