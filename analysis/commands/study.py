"""`fairfm pareto` and `fairfm report`: they read stored artifacts only, without Ray or torch.

The work is imported inside each command, so that `--help` loads no heavy library.
"""

from __future__ import annotations

import click


def _results_folder(context: click.Context, parameter: click.Parameter, given: str) -> str:
    """The argument unchanged; refuses a file, which is most often the study's own."""
    from pathlib import Path

    from fairfm_core.errors import BadInput

    if Path(given).is_file():
        raise BadInput(
            f"{given} is a file; give the results folder of `fairfm sweep run` and the name of the "
            f"study: fairfm {context.info_name} results --study NAME"
        )
    return given


RESULTS = click.argument("results", callback=_results_folder)
STUDY = click.option("--study", default=None, help="Study in RESULTS; needed if there are several.")


@click.command()
@RESULTS
@STUDY
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program; write no figure.")
def pareto(results: str, study: str | None, as_json: bool) -> None:
    """Print a study's front and write it as front.csv, front.pdf and front.svg.

    RESULTS is the results folder or URI given to `fairfm sweep run`. A configuration is on the
    front if on validation no other is at least as good in every objective and better in one; the
    numbers shown are those on test.
    """
    from analysis.front.outputs import json_front, write_front

    click.echo(json_front(results, study) if as_json else write_front(results, study))


@click.command()
@RESULTS
@STUDY
def report(results: str, study: str | None) -> None:
    """Write a self-contained HTML report of a study and print its path.

    RESULTS is the results folder or URI given to `fairfm sweep run`. The page needs no network:
    open it in any browser, print it, or send it.
    """
    from analysis.report.page import write_report

    click.echo(write_report(results, study))
