"""Text that a person or a document gives, as the name of a file: made safe here and nowhere else."""

import re

LONGEST = 120
"""Characters of a name; file systems take 255 bytes, and suffixes follow."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._+]+")


def file_name(text: str, otherwise: str = "") -> str:
    """Return `text` as one part of a path: ASCII letters, digits and ``. _ + -``, no dot or dash at its ends.

    Nothing of the result leads to another folder, and a safe name is returned as it is.

    Parameters
    ----------
    text
        What was given.
    otherwise
        The name where nothing of `text` can be used.

    Raises
    ------
    ValueError
        Nothing of `text` can be used, and there is no other name.

    Examples
    --------
    >>> file_name("Au/Pt 100")
    'Au-Pt-100'
    >>> file_name("../../../escaped")
    'escaped'
    >>> file_name("20261122-143000-a1b2c3")
    '20261122-143000-a1b2c3'
    """
    name = _UNSAFE.sub("-", text)[:LONGEST].strip(".-") or otherwise
    if not name:
        raise ValueError(
            f"a name with a letter or a digit was expected, for it becomes the name of a file; {text!r} "
            "came: choose another"
        )
    return name


def require_file_name(text: str, what: str) -> None:
    """Raise `ValueError` where `text` is no safe name as it stands; `what` says whose it is.

    For identifiers, which would not be found again under another name.
    """
    safe = file_name(text, otherwise="a-name")
    if safe != text:
        raise ValueError(
            f"{what} becomes the name of a folder: letters, digits and . _ + - were expected, {text!r} came; "
            f"{safe!r} would do"
        )
