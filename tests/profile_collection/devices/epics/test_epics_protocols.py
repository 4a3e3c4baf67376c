"""The EPICS devices keep the same protocols as the simulated ones."""


def test_epics_devices_keep_the_protocols_that_plans_use_them_by(beamline, hold_to_protocols):
    hold_to_protocols(beamline)
