"""The simulated devices keep Bluesky's protocols, which are checked as Bluesky checks them: at run time."""


def test_simulated_devices_keep_the_protocols_that_plans_use_them_by(beamline, hold_to_protocols):
    hold_to_protocols(beamline)
