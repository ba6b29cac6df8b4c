"""`fairfm pareto`, and what commands on a study have in common: stored artifacts, no Ray, no torch.

The work is imported inside each command, so that `--help` loads no heavy library.
"""

from __future__ import annotations

from pathlib import Path

import click

from fairfm_core.commands.places import OutPlace


def _results_folder(context: click.Context, parameter: click.Parameter, given: str) -> str:
    """The argument unchanged; refuses a file, which is most often the study's own."""

    from fairfm_core.errors import BadInput

    if Path(given).is_file():
        raise BadInput(
            f"{given} is a file; give the results folder of `fairfm sweep run` and the name of the "
            f"study: fairfm {context.info_name} results --study NAME"
        )
    return given


RESULTS = click.argument("results", callback=_results_folder)
STUDY = click.option("--study", default=None, help="Study in RESULTS; needed if there are several.")
OUT = click.option(
    "--out",
    type=OutPlace(file_okay=False),
    metavar="FOLDER",
    help="Folder or URI for the files.  [default: the study's folder in RESULTS]",
)


@click.command()
@RESULTS
@STUDY
@OUT
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for a program; write no csv and no figure."
)
def pareto(results: str, study: str | None, out: str | None, as_json: bool) -> None:
    """Print a study's front and write it as front.csv, front.pdf and front.svg.

    RESULTS is the results folder or URI given to `fairfm sweep run`. A configuration is on the
    front if on validation no other is at least as good in every objective and better in one; the
    numbers shown are those on test.
    """
    from analysis.front.outputs import front_output, json_front

    for text in [json_front(results, study)] if as_json else front_output(results, study, out):
        click.echo(text)
