"""`fairfm ensemble`: average stored predictions, or search all subsets of a pool of models.

The work is imported inside the command, so that `--help` loads no heavy library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from analysis.commands.prediction_options import prediction_form, prediction_options
from fairfm_core.commands.places import OutPath


@click.command()
@click.argument("members", metavar="MEMBER...", nargs=-1, required=True)
@click.option(
    "--out", required=True, type=OutPath(file_okay=False, path_type=Path), help="Results folder."
)
@click.option(
    "--combine",
    default="probability",
    show_default=True,
    help="What to average: probability or logit.",
)
@click.option(
    "--attributes",
    default="",
    help="Protected attributes, separated by commas.  [default: sex and race, where the predictions"
    " have them]",
)
@click.option(
    "--search/--no-search",
    default=False,
    show_default=True,
    help="Search all subsets of the members for the front of mean AUC and gaps.",
)
@click.option(
    "--most",
    default=None,
    type=click.IntRange(min=1),
    help="With --search: largest number of members of an ensemble.  [default: all]",
)
@click.option("--table3", is_flag=True, help="Build the six ensembles of the paper's Table 3.")
@click.option(
    "--replicates",
    default=200,
    show_default=True,
    type=click.IntRange(min=0),
    help="Bootstrap replicates, for intervals and for the null of a gap.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Random seed for the bootstrap.",
)
@prediction_options
def ensemble(
    members: tuple[str, ...],
    out: Path,
    combine: str,
    attributes: str,
    search: bool,
    most: int | None,
    table3: bool,
    replicates: int,
    seed: int,
    **layout: Any,
) -> None:
    """Build ensembles from the stored predictions of two or more models; no model is run.

    MEMBER is a file of predictions (parquet, csv, npz or xlsx), or a folder with one file per
    split, as PATH or NAME=PATH.
    Without --search the ensemble of all members is written to OUT/ensemble.parquet. With --search
    the front is chosen on the members' val split and shown on their test split; OUT/subsets.parquet
    lists every ensemble, OUT/front holds the predictions of those on the front. With --table3
    members are models of the paper, as in mae=PATH mae_med=PATH, and OUT/table3 holds the
    ensembles.
    """
    from analysis.ensembles.build import write_ensemble, write_search
    from analysis.ensembles.members import Members, member_files
    from analysis.ensembles.table3 import write_table3
    from fairfm_core.config.evaluation import EvaluationSettings
    from fairfm_core.config.yaml_input import validated

    if most is not None and not search:
        raise click.UsageError("--most needs --search; add --search or remove --most")
    if table3 and search:
        raise click.UsageError("--table3 and --search cannot be combined; give one of them")
    given = {"metrics": ("auc",), "replicates": replicates, "seed": seed}
    settings = validated(EvaluationSettings, given, "ensemble")
    names = tuple(dict.fromkeys(n.strip() for n in attributes.split(",") if n.strip()))
    pool = Members(member_files(members), prediction_form(layout), names)
    if table3:
        click.echo(write_table3(pool, out, combine, settings))
    elif search:
        click.echo(write_search(pool, out, combine, settings, most))
    else:
        click.echo(write_ensemble(pool, out, combine, settings))
