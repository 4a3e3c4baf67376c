"""What a person should know of a scan's data beside its result: of its file, flat field and sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.phasing.trust import oversampling
from analysis.preprocessing import PreparedScan
from analysis.preprocessing.sampling_guard import measured_sampling, sampling_words
from analysis.unit_cells import UnitCell
from callbacks.jobs import ScanJob


def said_of_file(job: ScanJob, prepared: PreparedScan) -> list[str]:
    """Return notes on an ingested scan: those on its file, and whether d is the lattice's."""
    if "ingested" not in job.start:
        return []
    notes = [str(note) for note in job.start["ingested"].get("notes", ())]
    lattice, reflection = job.start.get("lattice"), job.start.get("reflection")
    if lattice and reflection:
        hkl = (int(reflection[0]), int(reflection[1]), int(reflection[2]))
        expected = UnitCell(**lattice).d_spacing(hkl)
        off = prepared.d_spacing / expected - 1
        if abs(off) > D_OFF:
            notes.append(f"d is {100 * off:+.2f} % off the lattice's {expected:.4f} Å for {hkl}")
    return notes


def said_of_sampling(job: ScanJob, prepared: PreparedScan, phased: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where the first scan's autocorrelation wraps, and what would mend it.

    Later scans of a series sample the same crystal in the same steps.
    """
    if int(job.start.get("series_index", 0)) or "distance_mm" not in job.start.get("detector", {}):
        return ()
    return sampling_words(
        measured_sampling(prepared.intensity, prepared.background),
        step=abs(float(np.median(np.diff(job.eta)))),
        distance=float(job.start["detector"]["distance_mm"]),
        energy=float(job.start["energy"]),
        object_ratio=oversampling(phased["object"]) if phased["trusted"] else None,
    )


def said_of_flat_field(prepared: PreparedScan, phased: Mapping[str, Any]) -> list[str]:
    """Hold the flat field that was found with the object against the one that was given."""
    given, found = prepared.given_flat_field, phased.get("flat_field")
    if given is None or found is None or phased.get("exposure") is None:
        return []
    lit = (np.where(prepared.mask, 0, prepared.intensity).sum(axis=0) > LIT) & (given > 0)
    if not lit.any():
        return []
    off = 100 * float(np.std(found[lit] / given[lit]))
    return [
        f"the flat field that was found differs from the one given by {off:.1f} % (pixels of > {LIT} counts)"
    ]


LIT = 1000
"""Counts of a pixel in all frames from which its flat field is compared: counting leaves 3 % there."""

D_OFF = 2e-3
"""Relative deviation of d from the lattice's that is noted; distance and arm are rarely known better."""
