"""Devices over Channel Access; ophyd must not be imported here, see `process_variables`."""
