"""`fairfm tables` and `fairfm figures`: the paper's items from stored results.

The work is imported inside each command, so that `--help` loads no heavy library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from analysis.commands.prediction_options import prediction_form, prediction_options
from analysis.commands.study import RESULTS
from fairfm_core.commands.places import LocalPath, OutPath

if TYPE_CHECKING:
    from analysis.paper.answers import PaperRequest

_STUDIES = click.option(
    "--study",
    "studies",
    multiple=True,
    metavar="NAME",
    help="Study that may answer; repeat it for several.  [default: all in RESULTS]",
)
_USE = click.option(
    "--use",
    multiple=True,
    metavar="LABEL",
    help="Configuration to show where several could answer a cell; repeat it for several.",
)
_PROTOCOL = click.option(
    "--protocol", metavar="NAME", help="Evaluation protocol.  [default: the studies' first]"
)
_GAP = click.option(
    "--gap",
    "definition",
    type=click.Choice(["gap_of_mean", "mean_of_gaps"]),
    default="gap_of_mean",
    show_default=True,
    help="Definition of a gap to show first, test and draw.",
)
_OUT = click.option(
    "--out",
    type=OutPath(file_okay=False),
    default="paper",
    show_default=True,
    metavar="FOLDER",
    help="Folder for the files.",
)
_ONLY = click.option(
    "--only", multiple=True, metavar="ITEM", help="Item to make; repeat it for several.  [all]"
)


def paper_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """RESULTS and the options that tables and figures share."""
    for option in (_OUT, _GAP, _PROTOCOL, _USE, _STUDIES, _ONLY, RESULTS):
        command = option(command)
    return command


def paper_request(
    studies: tuple[str, ...], use: tuple[str, ...], protocol: str | None, definition: str
) -> PaperRequest:
    """What the options ask for."""
    from analysis.paper.answers import PaperRequest

    return PaperRequest(studies, use, protocol, definition)


@click.command()
@paper_options
@click.option(
    "--with",
    "beside",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Predictions of another program, as `fairfm evaluate` reads them, to stand below the"
    " paper's rows; may be repeated.",
)
@prediction_options
def tables(
    results: str,
    only: tuple[str, ...],
    studies: tuple[str, ...],
    use: tuple[str, ...],
    protocol: str | None,
    definition: str,
    out: str,
    beside: tuple[str, ...],
    **layout: Any,
) -> None:
    """Make the paper's tables of the studies in RESULTS: csv, Markdown and LaTeX.

    ITEM is table2, table3, table4, table5, table6 or claims of the paper; cohort_flow, how many
    images and patients came, were left out and why; or characteristics, a "Table 1" of patients by
    split and group. A row of the paper is answered by whichever study has trained its model
    (sweeps/studies/paper_*.yaml do); a row that was not run says so, with the command. Each number
    stands with its interval, its null, and what the paper reports.

    A published model stands below the paper's tables --with its predictions; the options
    from --layout on say how its files are laid out.
    """
    from analysis.paper.beside import BesideRequest
    from analysis.paper.outputs import write_tables

    request = paper_request(studies, use, protocol, definition)
    if layout["layout"] is not None and not beside:
        raise click.UsageError("--layout says how files are laid out; name them with --with")
    if beside:
        request = replace(request, beside=BesideRequest(beside, prediction_form(layout)))
    for text in write_tables(results, only, request, out):
        click.echo(text)


@click.command()
@paper_options
@click.option(
    "--score",
    type=click.Choice(["gap", "fs"]),
    default="gap",
    show_default=True,
    help="Draw gaps, or the fairness score of the paper's equation 1 (fs).",
)
@click.option(
    "--relative", is_flag=True, help="Changes in per cent of everybody's AUC, not in points."
)
@click.option(
    "--trial",
    metavar="NAME",
    help="Trial, or configuration with all its seeds, to show in figures of one model."
    "  [default: the most accurate on the front]",
)
@click.option(
    "--against",
    metavar="NAME",
    help="The other trial or configuration in figures of two models."
    "  [default: the least accurate on the front]",
)
@click.option(
    "--data",
    type=LocalPath(exists=True, file_okay=False),
    metavar="FOLDER",
    help="Prepared data of the study, for label policies in multiverse and features in encoding.",
)
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    metavar="NAME",
    help="Pathology to show where each has a panel; repeat it for several."
    "  [default: the paper's five]",
)
def figures(
    results: str,
    only: tuple[str, ...],
    studies: tuple[str, ...],
    use: tuple[str, ...],
    protocol: str | None,
    definition: str,
    out: str,
    score: str,
    relative: bool,
    trial: str | None,
    against: str | None,
    data: str | None,
    pathologies: tuple[str, ...],
) -> None:
    """Make figures of the studies in RESULTS: pdf, svg and png, and the csv behind.

    ITEM is figure1 to figure6 of the paper, whose models are found as for `fairfm tables`;
    best_and_worst and encoding, of all configurations; multiverse, of two; cohort_flow, of the
    patients; or, of one model, forest, heat_map, calibration, roc, decision, densities or
    gap_and_patients.
    """
    from analysis.figures.made import FigureOptions
    from analysis.figures.outputs import write_figures

    request = paper_request(studies, use, protocol, definition)
    options = FigureOptions(score, relative, trial, against, data, pathologies)
    for text in write_figures(results, only, request, options, out):
        click.echo(text)
