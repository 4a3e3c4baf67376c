"""What exposure a scan would have needed: the phase error that fewer of its counts give."""

from analysis.exposure.proposal import ExposureLimits, ExposureProposal, propose
from analysis.exposure.trial import ExposureConfig, ExposureRow, ExposureTable, phase_error, try_exposures

__all__ = [
    "ExposureConfig",
    "ExposureLimits",
    "ExposureProposal",
    "ExposureRow",
    "ExposureTable",
    "phase_error",
    "propose",
    "try_exposures",
]
