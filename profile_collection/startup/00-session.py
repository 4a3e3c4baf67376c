"""The session of this IPython, or of the queue server's worker: devices, RunEngine, catalogue."""

from profile_collection.session.startup_checks import prepare_client, refuse_scripts

prepare_client()  # before anything loads Channel Access

from profile_collection.session.session import open_session  # noqa: E402

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
