"""How much of reciprocal space about the M1 peak is phased, by name or in voxels."""

from __future__ import annotations

Crop = tuple[int, int, int]

M1_BAND: Crop = (64, 64, 64)
"""±32 pixels leave the rutile peak, 45 pixels away, outside: rutile is missing density."""

FINE: Crop = (96, 168, 168)
"""±84 pixels, the paper's 20 nm: the rutile peak is inside, rutile comes out as density with a phase ramp."""

NAMED = {"m1": M1_BAND, "20nm": FINE}

SMALLEST = 16


def parse_crop(text: str) -> Crop:
    """Return the voxels (rocking, row, column) that `text` names: 'm1', '20nm', or three sizes.

    Raises
    ------
    ValueError
        It is neither a name nor three whole numbers of at least 16.
    """
    word = text.strip().lower()
    if word in NAMED:
        return NAMED[word]
    words = word.split(",")
    if len(words) != 3 or not all(one.strip().isdigit() and int(one) >= SMALLEST for one in words):
        raise ValueError(
            f"a crop is three whole numbers of at least {SMALLEST}, as '64,64,64', or one of "
            f"{sorted(NAMED)}; {text!r} came"
        )
    first, second, third = (int(one) for one in words)
    return first, second, third
