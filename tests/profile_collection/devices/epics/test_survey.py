"""All process variables are asked and none is written."""

import os

from profile_collection.devices.epics.process_variables import read_process_variables
from profile_collection.devices.epics.survey import survey
from profile_collection.session import doctor
from profile_collection.session.settings import Settings

PORT = int(os.environ["EPICS_CA_SERVER_PORT"])


def test_every_name_of_the_soft_ioc_answers_and_its_clock_is_ours(ioc):
    found = survey(read_process_variables(port=PORT), 60.0)
    assert found.silent == ()
    assert found.asked > 60
    assert found.skew is not None


def test_names_that_do_not_answer_are_named_with_what_to_do(ioc, tmp_path):
    settings = Settings(data=tmp_path, devices="epics", ca_port=PORT, pv_prefix="NOT-THERE:")
    (silent,) = doctor.process_variables(settings)
    assert silent.level == "FAIL"
    assert "NOT-THERE:" in silent.said
    assert "vo2 ioc" in silent.remedy
