"""The campaign as a whole: series after series, then the judge, then the numbers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from profile_collection.campaign.beamline import campaign_settings
from profile_collection.campaign.conductor import Conductor
from profile_collection.campaign.judge import judge
from profile_collection.campaign.kinds import draw
from profile_collection.campaign.records import Records
from profile_collection.campaign.tally import is_sound, tally_lines
from profile_collection.server import open_catalogue, stop_server


def run_campaign(
    folder: Path, count: int, seed: int, *, say: Callable[[str], None], deadline: float | None = None
) -> bool:
    """Run what is left of a campaign in `folder`, judge it, and show the numbers.

    Parameters
    ----------
    folder
        Of its data, results and records; a campaign that was stopped goes on.
    count, seed
        Of the faults.
    say
        Shows a line.
    deadline
        By `time.monotonic`; no series is begun after it.

    Returns
    -------
    bool
        Whether all faults were applied, and every series is sound.
    """
    records = Records(folder)
    done = {record.number for record in records.series()}
    conductor = Conductor(folder, seed, say)
    for task in draw(count, seed):
        if task.number in done:
            continue
        if deadline is not None and time.monotonic() > deadline:
            break
        record = conductor.run(task)
        kinds = ", ".join(fault["kind"] for fault in record.faults)
        end = f"{record.ended or 'lost'} in {record.seconds:.0f} s, {record.restarts} restarts"
        say(f"series {record.number}: {end}: {kinds}")
    conductor.close()
    judge_all(folder, seed, records)
    for line in tally_lines(records):
        say(line)
    stop_server(campaign_settings(folder, seed).data)
    applied = sum(len(record.faults) for record in records.series())
    return applied >= count and not records.hangs() and all(map(is_sound, records.verdicts().values()))


def judge_all(folder: Path, seed: int, records: Records) -> None:
    """Judge every series that has no verdict yet."""
    settings, known = campaign_settings(folder, seed), records.verdicts()
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        for record in records.series():
            if record.number not in known:
                records.judged(judge(catalogue, settings, records, record))
