"""The session of this IPython, or of the queue server's worker: devices, RunEngine, catalogue."""

from profile_collection.channel_access import prepare_client
from profile_collection.queue_guard import refuse_scripts

prepare_client()  # before anything loads Channel Access

from profile_collection.session import open_session  # noqa: E402

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
