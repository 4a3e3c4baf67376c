"""What an error says to a person at the command line."""

import errno
import io
import logging

import pytest

from profile_collection.cli.common import in_words, opened
from profile_collection.session.settings import Settings


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


def test_a_traceback_goes_into_the_log_of_commands(tmp_path, monkeypatch):
    """Of a server's error a person sees the sentence."""
    settings = Settings(data=tmp_path / "data", results=tmp_path / "results")
    settings.private.mkdir(parents=True)
    monkeypatch.setattr("profile_collection.session.storage.open_catalogue", lambda given: io.BytesIO())
    with opened(settings):
        try:
            raise ValueError("Internal Server Error")
        except ValueError:
            logging.getLogger("callbacks.journal").exception("it did not take a document")
    said = (settings.private / "commands.log").read_text(encoding="utf-8")
    assert "it did not take a document" in said
    assert "ValueError: Internal Server Error" in said


def test_a_folder_that_is_closed_to_us_has_no_log(tmp_path, monkeypatch):
    settings = Settings(data=tmp_path / "nowhere", results=tmp_path / "results")
    monkeypatch.setattr("profile_collection.session.storage.open_catalogue", lambda given: io.BytesIO())
    with opened(settings) as catalogue:
        assert not catalogue.closed
    assert catalogue.closed
