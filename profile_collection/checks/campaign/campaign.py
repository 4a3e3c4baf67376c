"""The campaign as a whole: series after series, then the judge, then what it has shown, as lines of text."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from profile_collection.catalogue.client import stop_server
from profile_collection.checks.campaign.conductor import OUTCOMES, Conductor
from profile_collection.checks.campaign.judge import judge
from profile_collection.checks.campaign.series import (
    KINDS,
    Records,
    SeriesRecord,
    Verdict,
    campaign_settings,
    draw,
)
from profile_collection.session.storage import open_catalogue


def tally_lines(records: Records) -> list[str]:
    """Return the numbers of the whole campaign, then a line per kind of fault."""
    series, verdicts = records.series(), records.verdicts()
    faults = [fault for record in series for fault in record.faults]
    judged = list(verdicts.values())
    hangs = max(records.hangs(), sum(record.hangs for record in series))
    lines = [
        f"{len(faults)} faults of {len({fault['kind'] for fault in faults})} kinds in {len(series)} series "
        f"({sum(record.seconds for record in series) / 60:.0f} min); {len(judged)} series judged",
        f"frames taken                   {sum(v.frames for v in judged)}",
        f"frames readable and aligned    {sum(v.aligned for v in judged)} "
        f"({sum(v.destroyed for v in judged)} more were destroyed by cutting their files short)",
        f"points the catalogue lacks     {sum(v.points_lost for v in judged)}",
        f"series complete                {sum(v.complete for v in judged)} of {len(judged)}",
        f"results right                  {sum(v.right for v in judged)}",
        _overlaps(judged),
        f"results wrong and not flagged  {sum(v.wrong for v in judged)}",
        f"results flagged                {sum(v.untrusted for v in judged)} untrusted, "
        f"{sum(v.failed for v in judged)} reported as failed",
        f"results missing                {sum(v.missing for v in judged)}",
        f"hangs                          {hangs}",
        "",
    ]
    return lines + _kinds(series, verdicts) + [f"! {text}" for v in judged for text in v.remarks]


def _overlaps(judged: list[Verdict]) -> str:
    """Return how the results agree with the truth."""
    values = [value for verdict in judged for value in verdict.overlaps if math.isfinite(value)]
    if not values:
        return "overlap with the truth         none to judge"
    return f"overlap with the truth         median {statistics.median(values):.3f}, least {min(values):.3f}"


def _kinds(series: list[SeriesRecord], verdicts: dict[int, Verdict]) -> list[str]:
    """Return a line per kind: how often, what must follow, and in how many series everything was right."""
    count: Counter[str] = Counter()
    sound: dict[str, int] = defaultdict(int)
    for record in series:
        verdict = verdicts.get(record.number)
        good = verdict is not None and is_sound(verdict) and not record.hangs
        for fault in record.faults:
            count[fault["kind"]] += 1
            sound[fault["kind"]] += good
    return [
        f"{KINDS[kind]:45s}{count[kind]:4d} times, {sound[kind]:3d} in sound series: {OUTCOMES[kind]}"
        for kind in KINDS
    ]


def is_sound(verdict: Verdict) -> bool:
    """Return whether nothing was lost, nothing hung and nothing wrong went unflagged in a series."""
    whole = verdict.aligned + verdict.destroyed == verdict.frames
    return whole and verdict.complete and not (verdict.wrong or verdict.missing or verdict.points_lost)


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
