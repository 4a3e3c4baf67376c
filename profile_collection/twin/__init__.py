"""The simulated beamline in plain Python: crystal, scattering, thermal model and detector physics."""
