"""`fairfm search`: what the search of a study has found."""

from __future__ import annotations

from pathlib import Path

import click

from fairfm_core.commands.places import OutPath, OutPlace


@click.command()
@click.argument("results")
@click.option("--study", default=None, help="Study in RESULTS; needed if there are several.")
@click.option(
    "--out",
    type=OutPlace(file_okay=False),
    metavar="FOLDER",
    help="Folder for the files.  [default: the study's folder in RESULTS]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program; write no file.")
@click.option(
    "--export",
    type=OutPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a database of Optuna, for optuna-dashboard, and nothing else.",
)
def search(
    results: str, study: str | None, out: str | None, as_json: bool, export: Path | None
) -> None:
    """Show what a study's search has found, and write it as tables and figures.

    Prints the hypervolume with its interval, the best configurations with their parameters, and how
    important each parameter was for each objective. Writes search.csv, hypervolume.csv,
    importance.csv, and figures (PDF, SVG) for each search: hypervolume over training runs,
    parallel coordinates coloured by front rank, and a slice for each parameter; the importances;
    then each objective over its two most important ranges, with its uncertainty.
    """
    from sweeps.found.export import export_optuna
    from sweeps.found.reading import read_search
    from sweeps.found.text import search_json, search_output

    if export is not None:
        names = export_optuna(read_search(results, study), export)
        click.echo(f"wrote {export}: {', '.join(names)}")
        return
    for text in [search_json(results, study)] if as_json else search_output(results, study, out):
        click.echo(text)
