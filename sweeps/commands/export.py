"""`fairfm export`: what a results folder holds, as files for other people and programs."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.commands.study import RESULTS
from fairfm_core.commands.places import OutPath


@click.group()
def export() -> None:
    """Hand over parts of a results folder."""


@export.command()
@RESULTS
@click.argument("trial")
@click.option("--study", metavar="NAME", help="Study of TRIAL; needed if several have its name.")
@click.option(
    "--out",
    type=OutPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File to write, .parquet or .csv.  [default: TRIAL.parquet]",
)
def predictions(results: str, trial: str, study: str | None, out: Path | None) -> None:
    """Write a trial's predictions as one file.

    One row for each image of validation and test: ids, attributes, labels as y_<pathology> and
    probabilities as p_<pathology>. `fairfm evaluate FILE` and pandas.read_parquet read it.

    RESULTS is the results folder or URI given to `fairfm sweep run`; TRIAL is a trial's name, as
    `fairfm sweep status` shows it, or the first digits of its fingerprint.
    """
    from fairfm_core.artifacts import open_store
    from sweeps.upkeep.handed_over import export_predictions
    from sweeps.upkeep.trial_log import find_asked

    store = open_store(results)
    asked = find_asked(store, trial, study)
    made = export_predictions(store, asked, out or Path(f"{asked.name}.parquet"))
    rows = f"{made.images:,} images of {' and '.join(made.splits)}"
    click.echo(f"wrote {made.path}: {rows}; {', '.join(made.predictions.pathologies)}")
