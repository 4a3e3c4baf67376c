"""The session of this IPython, or of the queue server's worker: devices, RunEngine, catalogue."""

from profile_collection.queue_guard import refuse_scripts
from profile_collection.session import open_session

refuse_scripts()
session = open_session()

RE = session.RE
db = session.db
replay = session.replay

beamline = session.beamline
diffractometer = beamline.diffractometer
heated_stage = beamline.heated_stage
merlin = beamline.merlin
beam = beamline.beam
