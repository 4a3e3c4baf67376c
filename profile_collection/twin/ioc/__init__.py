"""The EPICS soft IOC: serves the simulated beamline over Channel Access, as a beamline's own IOCs would."""

from profile_collection.twin.ioc.beamline import TwinIoc
from profile_collection.twin.ioc.server import prepare_server, serve

__all__ = ["TwinIoc", "prepare_server", "serve"]
