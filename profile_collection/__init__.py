"""The beamline as IPython and the queue server see it."""
