"""What a failed series says went wrong: the cause, not what failed while cleaning up after it."""

from profile_collection.session.unattended import first_error, said


def caught(function):
    try:
        function()
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def test_the_first_error_is_found_behind_those_of_the_clean_up():
    def plan():
        try:
            try:
                raise OSError("the detector is gone") from KeyError("its reason")
            finally:
                raise ConnectionError("so is the shutter")
        finally:
            raise ConnectionError("and it still is")

    error = caught(plan)
    assert str(error) == "and it still is"
    assert str(first_error(error)) == "the detector is gone"


def test_an_error_that_says_what_another_means_stands_for_it():
    def plan():
        try:
            raise KeyError("x")
        except KeyError as error:
            raise ValueError("x is missing, give one") from error

    error = caught(plan)
    assert first_error(error) is error


def test_a_refusal_is_a_sentence_and_another_error_says_its_kind():
    assert said(ValueError("the step must not be 0; got 0.0")) == "the step must not be 0; got 0.0"
    assert said(KeyError("x")) == "KeyError: 'x'"
