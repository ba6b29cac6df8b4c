"""`fairfm pareto` and `fairfm report`: they read stored artifacts only, without Ray or torch.

The work is imported inside each command, so that `--help` loads no heavy library.
"""

from __future__ import annotations

from pathlib import Path

import click

RESULTS = click.argument("results")
STUDY = click.option("--study", default=None, help="Study in RESULTS; needed if there are several.")
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder for the files.  [default: the study's folder in RESULTS]",
)


@click.command()
@RESULTS
@STUDY
@OUT
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program; write no figure.")
def pareto(results: str, study: str | None, out: Path | None, as_json: bool) -> None:
    """Print a study's front and write it as front.csv, front.pdf and front.svg.

    RESULTS is the folder or URI of `fairfm sweep run`. A configuration is on the front if on
    validation no other is at least as good in every objective and better in one; the numbers shown
    are those on test.
    """
    from analysis.front.outputs import front_output, json_front

    for text in [json_front(results, study)] if as_json else front_output(results, study, out):
        click.echo(text)


@click.command()
@RESULTS
@STUDY
@OUT
def report(results: str, study: str | None, out: Path | None) -> None:
    """Write a self-contained HTML report of a study and print its path.

    RESULTS is the folder or URI of `fairfm sweep run`. The page needs no network: open it in any
    browser, print it, or send it.
    """
    from analysis.report.page import write_report

    click.echo(write_report(results, study, out))
