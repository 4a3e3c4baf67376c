import pytest

from profile_collection.session.settings import Settings, load_settings
from profile_collection.session.simulation import described, twin_config
from profile_collection.twin import TwinConfig


def test_an_argument_beats_the_environment_and_that_beats_the_file(tmp_path):
    (tmp_path / ".vo2").mkdir()
    (tmp_path / ".vo2" / "settings.toml").write_text('seed = 1\noperator = "file"\nsample = "file"\n')
    environment = {"VO2_DATA": str(tmp_path), "VO2_SEED": "2", "VO2_OPERATOR": "environment"}
    settings = load_settings(environment, seed=3)
    assert (settings.seed, settings.operator, settings.sample) == (3, "environment", "file")
    assert settings.data == tmp_path


def test_settings_pass_through_the_environment_unchanged(tmp_path):
    before = load_settings(
        {}, data=tmp_path, results=tmp_path / "r", quick=True, seed=7, tiled_uri="http://a"
    )
    assert load_settings(before.environment()) == before


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"VO2_QUICK": "perhaps"}, "quick must be yes or no"),
        ({"VO2_SEED": "one"}, "seed must be a whole number"),
        ({"VO2_DEVICES": "real"}, "devices must be one of 'simulated' or 'epics', 'real' came"),
        ({"VO2_QUICK": "1", "VO2_EXPERIMENT": "mine.toml"}, "leave one out"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(environment, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_settings(environment)


def test_an_unknown_line_in_the_file_is_refused(tmp_path):
    (tmp_path / ".vo2").mkdir()
    (tmp_path / ".vo2" / "settings.toml").write_text("sede = 1\n")
    with pytest.raises(ValueError, match="sede"):
        load_settings({}, data=tmp_path)


def test_a_key_that_others_can_read_is_refused(tmp_path):
    (tmp_path / ".vo2").mkdir()
    path = tmp_path / ".vo2" / "settings.toml"
    path.write_text('tiled_api_key = "secret"\n')
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        load_settings({}, data=tmp_path)
    path.chmod(0o600)
    assert load_settings({}, data=tmp_path).tiled_api_key == "secret"


def test_the_folder_of_another_user_keeps_nobody_from_results(tmp_path, monkeypatch):
    (tmp_path / ".vo2").mkdir()
    (tmp_path / ".vo2" / "settings.toml").write_text("seed = 1\n")
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path / ".vo2")  # root may enter all
    assert load_settings({}, data=tmp_path).seed == 0


def test_the_key_is_not_shown():
    assert "secret" not in repr(Settings(tiled_api_key="secret"))


def test_an_empty_word_is_no_and_a_file_that_is_no_toml_is_named(tmp_path):
    assert load_settings({"VO2_QUICK": ""}).quick is False
    (tmp_path / ".vo2").mkdir()
    (tmp_path / ".vo2" / "settings.toml").write_text("seed =\n")
    with pytest.raises(ValueError, match=r"settings\.toml cannot be read as settings \(TOML\)"):
        load_settings({}, data=tmp_path)


def test_an_experiment_on_an_unknown_instrument_is_refused_before_anything_is_measured(tmp_path):
    file = tmp_path / "elsewhere.toml"
    file.write_text('extends = "paper"\ninstrument = "ESRF ID99"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="the instrument must be one of .*'ESRF ID99'"):
        described(Settings(experiment=str(file)))


def test_the_simulated_beamline_of_the_papers_experiment_is_the_usual_one():
    assert twin_config(Settings()) == TwinConfig()
