"""`fairfm report`: a study's page, with what its search has found."""

from __future__ import annotations

import click

from analysis.commands.study import OUT, RESULTS, STUDY
from fairfm_core.commands.places import LocalPath


@click.command()
@RESULTS
@STUDY
@OUT
@click.option(
    "--compare",
    nargs=2,
    metavar="STUDY STUDY",
    help="Write a page that compares two studies in RESULTS instead.",
)
@click.option(
    "--checklist",
    type=click.Choice(["tripod-ai", "claim", "stard-ai"]),
    help="Write what the study's files say to each item of a reporting guideline instead.",
)
@click.option(
    "--figure",
    "figures",
    multiple=True,
    metavar="ITEM",
    help="Add a figure of `fairfm figures`, such as multiverse, encoding or gap_and_patients, as a"
    " section; repeat it for several.",
)
@click.option(
    "--data",
    type=LocalPath(exists=True, file_okay=False),
    metavar="FOLDER",
    help="With --figure: prepared data of the study, for label policies in multiverse and features"
    " in encoding.",
)
def report(
    results: str,
    study: str | None,
    out: str | None,
    compare: tuple[str, str] | None,
    checklist: str | None,
    figures: tuple[str, ...],
    data: str | None,
) -> None:
    """Write a self-contained HTML report of a study and print its path.

    RESULTS is the results folder or URI given to `fairfm sweep run`. The page needs no network:
    open it in any browser, print it, or send it. With --compare it has one front over the
    configurations of two studies, and says how they differ. With --checklist it writes a checklist
    as Markdown and csv: for each item what the files say, where, and what the author must say.
    """
    if compare and checklist:
        raise click.UsageError("--checklist is of one study: leave --compare out")
    if compare and study is not None:
        raise click.UsageError("--compare names both studies: leave --study out")
    if figures and (compare or checklist):
        raise click.UsageError("--figure is of the report: leave --compare and --checklist out")
    if compare:
        from analysis.report.study_comparison import write_comparison

        click.echo(write_comparison(results, compare, out))
        return
    if checklist is not None:
        from analysis.guidelines.checklist import write_checklist

        for text in write_checklist(results, study, checklist, out):
            click.echo(text)
        return
    from sweeps.found.section import write_study_report

    if figures:
        from analysis.figures.made import FigureOptions
        from sweeps.found.figure_sections import figure_sections

        sections = figure_sections(results, study, figures, FigureOptions(data=data))
        click.echo(write_study_report(results, study, out, sections))
        return
    click.echo(write_study_report(results, study, out))
