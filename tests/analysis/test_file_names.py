"""Text that becomes the name of a file: nothing in it leads anywhere else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.file_names import LONGEST, file_name, require_file_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Au/Pt 100", "Au-Pt-100"),
        ("../../../../escaped", "escaped"),
        ("/etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("a\x00b\nc", "a-b-c"),
        ("VO2 größe µm", "VO2-gr-e-m"),
        ("C:\\Users", "C-Users"),
        ("20261122-143000-a1b2c3", "20261122-143000-a1b2c3"),
    ],
)
def test_a_name_is_made_safe(text, name):
    assert file_name(text) == name


@pytest.mark.parametrize("text", ["", "..", "///", "   ", "\u4f60\u597d"])
def test_a_name_of_nothing_usable_is_refused_in_words(text):
    with pytest.raises(ValueError, match="with a letter or a digit was expected"):
        file_name(text)
    assert file_name(text, otherwise="unnamed") == "unnamed"


@given(st.text())
def test_whatever_is_given_stays_in_its_folder_and_is_found_again(text):
    name = file_name(text, otherwise="unnamed")
    path = Path("/data/frames") / name
    assert path.parent == Path("/data/frames")
    assert len(name) <= LONGEST
    assert file_name(name) == name


def test_an_identifier_is_not_changed_but_refused():
    require_file_name("20261122-143000-a1b2c3", "series_uid")
    with pytest.raises(ValueError, match=r"series_uid becomes the name of a folder.*'escaped' would do"):
        require_file_name("../escaped", "series_uid")
