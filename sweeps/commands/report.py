"""`fairfm report`: a study's page, with what its search has found."""

from __future__ import annotations

import click

from analysis.commands.study import OUT, RESULTS, STUDY


@click.command()
@RESULTS
@STUDY
@OUT
def report(results: str, study: str | None, out: str | None) -> None:
    """Write a self-contained HTML report of a study and print its path.

    RESULTS is the results folder or URI given to `fairfm sweep run`. The page needs no network:
    open it in any browser, print it, or send it.
    """
    from sweeps.found.section import write_study_report

    click.echo(write_study_report(results, study, out))
