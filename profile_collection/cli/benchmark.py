"""Commands ``vo2 benchmark …``: how well phasing works, measured on crystals that nothing was tuned on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profile_collection.cli.common import (
    DataOption,
    OverwriteOption,
    ResultsOption,
    TakesMinusOne,
    configured,
    console,
    explained,
    output_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.benchmark.generator import Case
    from analysis.benchmark.judge import Row

benchmark_app = typer.Typer(
    no_args_is_help=True, help="Measure phasing on crystals that no training and no tuning ever saw."
)

CrystalsOption = Annotated[int, typer.Option(help="Number of crystals, spread evenly over the classes.")]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        help="Only classes whose name holds one of these words, as '2π,detector'.", show_default=False
    ),
]
WorkersOption = Annotated[int, typer.Option(help="Processes, one thread each.")]
RowsOption = Annotated[
    Path, typer.Option(help="CSV file, a row per crystal; crystals that it holds are not run again.")
]


@benchmark_app.command()
def phasing(
    crystals: CrystalsOption = 108,
    classes: ClassesOption = None,
    seed: Annotated[int, typer.Option(help="First of the judging seeds.")] = 7000,
    workers: WorkersOption = 1,
    output: RowsOption = Path("benchmark_phasing.csv"),
    baseline: Annotated[bool, typer.Option(help="Also plain HIO+ER in the same CPU seconds.")] = True,
) -> None:
    """Phase crystals that nothing was trained, tuned or calibrated on, beside plain HIO+ER+shrink wrap."""
    from analysis.benchmark import JUDGING_SEEDS
    from analysis.benchmark.tables import photon_table, quality_table, trust_table

    with explained():
        rows = _run(JUDGING_SEEDS, crystals, classes, seed, workers, output, baseline)
    for table in (quality_table(rows), photon_table(rows), trust_table(rows)):
        console.print(table)


@benchmark_app.command()
def trust(
    crystals: CrystalsOption = 108,
    classes: ClassesOption = None,
    seed: Annotated[int, typer.Option(help="First of the calibration seeds.")] = 5000,
    workers: WorkersOption = 1,
    output: RowsOption = Path("benchmark_trust.csv"),
) -> None:
    """Phase the calibration crystals and show the evidence from which the limits of trust are chosen."""
    from analysis.benchmark import CALIBRATION_SEEDS
    from analysis.benchmark.tables import evidence_table, quality_table, trust_table

    with explained():
        rows = _run(CALIBRATION_SEEDS, crystals, classes, seed, workers, output, baseline=False)
    for table in (quality_table(rows), evidence_table(rows), trust_table(rows)):
        console.print(table)


@benchmark_app.command()
def counts(
    crystals: CrystalsOption = 280,
    classes: ClassesOption = None,
    seed: Annotated[int, typer.Option(help="First of the calibration seeds.")] = 5120,
) -> None:
    """Show what tells counts from what people make of them: the limits of trust."""
    from analysis.benchmark import CALIBRATION_SEEDS
    from analysis.benchmark.comparisons import counts_table

    with explained():
        table = counts_table(_cases(CALIBRATION_SEEDS, crystals, classes, seed))
    console.print(table)


@benchmark_app.command()
def peers(
    crystals: CrystalsOption = 6,
    classes: ClassesOption = None,
    seed: Annotated[int, typer.Option(help="First of the judging seeds.")] = 8400,
    starts: Annotated[int, typer.Option(help="Random starts that each peer makes of a crystal.", min=1)] = 5,
    python: Annotated[
        list[str] | None,
        typer.Option(help="Interpreter that has a peer, beside the one that runs this; may be given again."),
    ] = None,
    output: RowsOption = Path("benchmark_peers.csv"),
) -> None:
    """Phase the same judging crystals with this package and with other programs, where they are installed."""
    from analysis.benchmark import JUDGING_SEEDS
    from analysis.benchmark.peer_programs import PEERS
    from analysis.benchmark.peers import find_peers, peers_table, run_peers

    with explained():
        found, missing = find_peers([*(python or []), sys.executable])
        for peer in found:
            settings = ", ".join(f"{key}={value!r}" for key, value in PEERS[peer.name][3].items())
            console.print(f"{peer.name} {peer.version}, {starts} starts: {settings}", highlight=False)
        rows = []
        for row in run_peers(_cases(JUDGING_SEEDS, crystals, classes, seed), found, starts, output):
            rows.append(row)
            console.print(
                f"{row.seed} {row.kind}, {row.program}: overlap {row.overlap:.3f}, "
                f"{row.cpu_seconds:.1f} CPU s",
                highlight=False,
            )
    console.print(peers_table(rows, missing))


def _cases(seeds: range, crystals: int, classes: str | None, first: int) -> list[Case]:
    """Draw the cases of ``seeds`` from ``first`` on, or raise a ValueError."""
    from analysis.benchmark.generator import chosen_classes, draw_cases

    if first not in seeds:
        raise ValueError(f"the first seed must lie between {seeds[0]} and {seeds[-1]}; got {first!r}")
    return draw_cases(range(first, seeds.stop), crystals, chosen_classes(classes))


def _run(
    seeds: range, crystals: int, classes: str | None, first: int, workers: int, output: Path, baseline: bool
) -> Sequence[Row]:
    """Run what ``output`` does not hold yet and return its rows of the chosen cases."""
    from analysis.benchmark.judge import read_rows, run_cases

    cases = _cases(seeds, crystals, classes, first)
    for row, waiting in run_cases(cases, output, baseline=baseline, workers=workers):
        beside = f", baseline {row.baseline_overlap:.3f}" if row.baseline_starts else ""
        verdict = f"{'trusted' if row.trusted else 'not trusted'}, {row.cpu_seconds:.1f} CPU s"
        console.print(
            f"{row.seed} {row.kind}: overlap {row.overlap:.3f}, {verdict}{beside}; {waiting} to come",
            highlight=False,
        )
    wanted = {(case.seed, case.kind.name) for case in cases}
    return [row for row in read_rows(output) if (row.seed, row.kind) in wanted]


@benchmark_app.command()
def starts(
    crystals: CrystalsOption = 30,
    classes: ClassesOption = None,
    seed: Annotated[int, typer.Option(help="First of the calibration seeds.")] = 5000,
    search_only: Annotated[
        bool, typer.Option(help="Leave out what the network does without a search.")
    ] = False,
) -> None:
    """Phase crystals by the network alone, and by the search without it, with it, and with it fine-tuned."""
    from analysis.benchmark import CALIBRATION_SEEDS
    from analysis.benchmark.comparisons import ALONE, POLICIES, compare
    from analysis.benchmark.tables import starts_table

    with explained():
        outcomes = []
        policies = POLICIES if search_only else (*ALONE, *POLICIES)
        for outcome in compare(_cases(CALIBRATION_SEEDS, crystals, classes, seed), policies):
            outcomes.append(outcome)
            console.print(
                f"{outcome.seed} {outcome.kind}, {outcome.policy}: overlap {outcome.overlap:.3f}, "
                f"{outcome.iterations} iterations, {outcome.cpu_seconds:.1f} CPU s",
                highlight=False,
            )
    console.print(starts_table(outcomes))


@benchmark_app.command(cls=TakesMinusOne)
def ceiling(
    series: Annotated[str, typer.Argument(help="Uid or folder of a simulated series; -1 is the newest.")],
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Phase three scans of a simulated series again, beside what a start from the truth reaches."""
    from profile_collection.checks.ceiling_benchmark import ceiling_rows, ceiling_table
    from profile_collection.session.exporting import series_folder

    with explained():
        settings = configured(data, results)
        found = series_folder(settings.results, series)
        with console.status("phasing and comparing with the truth"):
            rows = list(ceiling_rows(found, settings.data / "truth" / found.name))
    console.print(ceiling_table(rows))
    if not all(row.passed for row in rows):
        raise typer.Exit(1)


@benchmark_app.command()
def measured(
    scan: Annotated[
        Path, typer.Argument(help="File with the frames of one scan, of any format that 'vo2 inspect' reads.")
    ],
    crop: Annotated[str, typer.Option(help="Voxels about the peak.")] = "64,128,128",
    seeds: Annotated[int, typer.Option(help="Number of seeds, from 0.", min=1)] = 5,
) -> None:
    """Phase a measured scan from several seeds: its χ², and whether the seeds find one crystal."""
    import numpy as np

    from analysis.benchmark.comparisons import measured_rows, measured_table
    from analysis.readers import read_scans
    from callbacks.frames import stored_counts
    from callbacks.jobs import parse_crop

    rows = []
    with explained():
        shape, frames = parse_crop(crop), read_scans(scan)[0].frames
        if frames is None:
            raise ValueError(f"{scan} holds no frames; see 'vo2 inspect {scan}'")
        counts, held = stored_counts(frames[0 : frames.shape[0]])
        for row in measured_rows(np.where(held, counts, 0), shape, range(seeds)):
            rows.append(row)
            console.print(f"seed {row.seed}: χ² {row.chi_squared:.4f}, {row.cpu_seconds:.0f} CPU s")
    console.print(measured_table(rows, shape))
    if not all(row.passed for row in rows):
        raise typer.Exit(1)


@benchmark_app.command()
def network(
    seconds: Annotated[float, typer.Option(help="CPU seconds of training for each network.")] = 900.0,
    output: Annotated[Path | None, typer.Option(help="Markdown file that receives the table.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Train the paper's network and this project's for the same CPU seconds and compare them (ablation)."""
    from analysis.benchmark.ablation import as_markdown, run_ablation

    with explained():
        goal = None if output is None else output_file(output, Path("ablation.md"), overwrite=overwrite)
        text = as_markdown(run_ablation(seconds), f"vo2 benchmark network --seconds {seconds:g}")
        console.print(text, highlight=False, soft_wrap=True)
        if goal is not None:
            goal.write_text(text, encoding="utf-8")


@benchmark_app.command()
def adaptive(
    models: Annotated[int, typer.Option(help="Modelled transitions of each kind.", min=1)] = 24,
    seed: Annotated[
        int, typer.Option(help="First; 1000 and beyond judge, the rule was chosen below.")
    ] = 1000,
    scans: Annotated[str, typer.Option(help="Numbers of scans, as '8,10,12'.")] = "8,10,12",
) -> None:
    """Choose temperatures by the rule and by a fixed grid on modelled transitions: no frames, no phasing."""
    from profile_collection.checks.adaptive_benchmark import adaptive_rows, adaptive_table

    with explained():
        numbers = [int(word) for word in scans.split(",")]
        console.print(adaptive_table(list(adaptive_rows(models, seed, numbers))))
