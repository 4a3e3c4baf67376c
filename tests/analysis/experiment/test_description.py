"""The described experiment: the paper's numbers, files that extend it, and what is refused in words."""

import json

import pytest

from analysis.experiment import Experiment, load_experiment, paper
from analysis.unit_cells import VO2_M1, VO2_RUTILE

CUBIC = {"a": 4.08, "b": 4.08, "c": 4.08, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_the_paper_is_the_default():
    experiment = paper()
    assert experiment.temperatures == tuple(320.0 + 5 * n for n in range(10))
    assert experiment.reference_temperature == 320.0
    assert (experiment.reflection.lattice, experiment.reflection.hkl) == (VO2_M1, (0, 1, 1))
    assert (experiment.counterpart.lattice, experiment.counterpart.hkl) == (VO2_RUTILE, (1, 1, 0))
    assert experiment.reflection.label == "M1 (011)"
    assert experiment.window.centre == 17.8
    assert experiment.transformation_strain == pytest.approx(0.0043, abs=5e-5)
    assert experiment.crops == {"m1": (64, 64, 64), "20nm": (96, 168, 168)}


def test_it_goes_through_json_and_back():
    experiment = load_experiment("quick")
    assert Experiment.model_validate(json.loads(json.dumps(experiment.document()))) == experiment


def test_a_file_says_only_what_differs(tmp_path):
    path = write(
        tmp_path / "long.toml", 'extends = "paper"\n[window]\nexposure = 60.0\n[sample]\nname = "B7"\n'
    )
    other = write(tmp_path / "longer.toml", 'extends = "long.toml"\nreference_temperature = 365\n')
    found, longer = load_experiment(path), load_experiment(other)
    assert found.window.model_dump() == {**paper().window.model_dump(), "exposure": 60.0}
    assert (found.sample.name, found.sample.size_nm) == ("B7", paper().sample.size_nm)
    assert (longer.window, longer.reference_temperature) == (found.window, 365.0)


def test_another_reflection_does_not_keep_the_counterpart_of_the_first(tmp_path):
    found = load_experiment(
        write(tmp_path / "other.toml", 'extends = "paper"\n[reflection]\nhkl = [2, 0, 0]\n')
    )
    assert (found.reflection.lattice, found.reflection.hkl) == (VO2_M1, (2, 0, 0))
    assert (found.counterpart, found.transformation_strain) == (None, None)
    assert list(found.crops) == ["m1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('extends = "paper"\ntemperature = [320]\n', "temperature: Extra inputs are not permitted"),
        ('extends = "paper"\ntemperatures = []\n', "temperatures: .*at least 1 item"),
        (
            'extends = "paper"\ntemperatures = [330]\n',
            "reference_temperature must be one of the temperatures",
        ),
        ('extends = "paper"\nenergy = "much"\n', "energy: .*valid number.*got 'much'"),
        ('extends = "paper"\nenergy = 1.0\n', "no Bragg angle"),
        ('extends = "paper"\n[window]\nstop = 1.0\n', "stop must lie above start"),
        ('extends = "paper"\n[reflection]\nlattice = "diamond"\n', "a cell by name is one of"),
        ('name = "bare"\n', "instrument: Field required"),
        ("name = \n", "cannot be read"),
        ('extends = "x.toml"\n', "extends itself"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        load_experiment(write(tmp_path / "x.toml", text))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="'paper', 'quick' or a TOML file; 'nowhere.toml' cannot be read"):
        load_experiment("nowhere.toml")


def test_a_run_says_its_experiment_and_one_from_before_is_the_papers():
    quick = load_experiment("quick")
    assert Experiment.of_start({"experiment": quick.document()}) == quick
    assert Experiment.of_start({"reflection": [0, 1, 1]}) == paper()
    gold = Experiment.of_start({"reflection": [1, 1, 1], "lattice": CUBIC, "instrument": "APS 34-ID-C"})
    assert (gold.reflection.hkl, gold.counterpart, gold.instrument) == ((1, 1, 1), None, "APS 34-ID-C")
