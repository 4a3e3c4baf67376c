"""Which seeds are for what: the one place that says so.

| seeds     | generator                      | used for                                                   |
|-----------|--------------------------------|------------------------------------------------------------|
| 1000–1999 | `analysis.phasing.training_set` | training the network                                      |
| 2000–2999 | `analysis.phasing.training_set` | validation: choices about network and training            |
| 5000–5999 | this package                   | calibration: hyperparameters of the search, trust limits   |
| 7000–7999 | this package                   | judging: run once everything above is frozen, never before |
| others    | either                         | unit tests and examples                                    |

No crystal is shared: the two generators have no code in common, and a seed belongs to one row.
"""

from __future__ import annotations

TRAINING_AND_VALIDATION_SEEDS = range(1000, 3000)
CALIBRATION_SEEDS = range(5000, 6000)
JUDGING_SEEDS = range(7000, 8000)


def check_seed(seed: int) -> None:
    """Refuse a seed that belongs to the other generator, so that no table of seeds can be misread."""
    if seed in TRAINING_AND_VALIDATION_SEEDS:
        raise ValueError(
            "a benchmark crystal needs a seed outside 1000 to 2999, which belong to training and validation; "
            f"got {seed!r}: take one of 5000 to 5999 to calibrate, of 7000 to 7999 to judge"
        )
