"""`fairfm card`. The work is imported inside it, so that `--help` loads no heavy library."""

from __future__ import annotations

import click

from analysis.commands.study import OUT, RESULTS, STUDY


@click.command()
@RESULTS
@STUDY
@click.option(
    "--trial",
    metavar="NAME",
    help="Trial, or configuration with all its seeds.  [default: the most accurate on the front]",
)
@OUT
def card(results: str, study: str | None, trial: str | None, out: str | None) -> None:
    """Write a model card, card.md and card.json, and print their paths.

    What the model is, on whom it was trained and tested, its numbers with intervals in every group,
    and what these cannot say: all from the files in RESULTS. The intended use is left to you.
    """
    from analysis.card.outputs import write_card

    for path in write_card(results, study, trial, out):
        click.echo(path)
