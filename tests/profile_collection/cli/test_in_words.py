"""What an error says to a person at the command line."""

import errno

import pytest

from profile_collection.cli.common import in_words


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_what_cannot_be_written_says_what_to_do(number):
    said = in_words(OSError(number, "refused", "/archive/results/export"))
    assert said is not None
    assert said.startswith("refused: '/archive/results/export'; ")
    assert "cp -r" in said


def test_a_missing_file_is_only_named():
    assert in_words(FileNotFoundError(errno.ENOENT, "No such file", "a.npz")) == "No such file: 'a.npz'"


def test_a_bug_is_none_of_them():
    assert in_words(TypeError("x")) is None
