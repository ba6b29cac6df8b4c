"""Commands that read stored artifacts only: no training, no Ray, no torch.

The work is imported inside each command, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument(
    "predictions", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Results folder."
)
@click.option(
    "--attributes", default="sex,race", show_default=True, help="Protected attributes, by comma."
)
@click.option(
    "--protocol",
    default="full",
    show_default=True,
    help="How test images are weighed, by comma: full, balanced, resample, glocker.",
)
@click.option(
    "--balance",
    default="race,sex",
    show_default=True,
    help="Attributes whose combinations balanced and resample make alike, by comma.",
)
@click.option(
    "--resample-factor",
    default=3.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Size of a drawn test set, in images of the split.",
)
@click.option("--resample-seed", default=42, show_default=True, type=click.IntRange(min=0))
@click.option("--replicates", default=200, show_default=True, type=click.IntRange(min=0))
@click.option("--permutations", default=200, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--age-edges", default="40,60,80", show_default=True, help="Where ages are cut, in years."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def evaluate(
    predictions: tuple[Path, ...],
    out: Path,
    attributes: str,
    protocol: str,
    balance: str,
    resample_factor: float,
    resample_seed: int,
    replicates: int,
    permutations: int,
    age_edges: str,
    seed: int,
) -> None:
    """Turn the PREDICTIONS of one model into metrics.parquet, gaps.parquet and weights.parquet.

    PREDICTIONS are parquet files, one or more per split, or folders of them, with the columns
    image_id, patient_id, split, attributes such as sex, and y_<p>, p_<p> for each pathology.
    """
    from analysis.evaluate import evaluate_files, known_protocols, short_table
    from fairfm_core.config import EvaluationSettings
    from fairfm_core.yaml_input import validated

    given = {
        "protocols": known_protocols(_some(protocol, "--protocol")),
        "attributes": tuple(dict.fromkeys(_listed(attributes))),
        "age_edges": _numbers(age_edges),
        "replicates": replicates,
        "permutations": permutations,
        "seed": seed,
        "balance": _some(balance, "--balance"),
        "resample_factor": resample_factor,
        "resample_seed": resample_seed,
    }
    settings = validated(EvaluationSettings, given, "evaluate")
    evaluation = evaluate_files(predictions, out, settings)
    click.echo(short_table(evaluation, settings))
    click.echo(f"wrote metrics.parquet, gaps.parquet and weights.parquet to {out}")


RESULTS = click.argument("results")
STUDY = click.option("--study", default=None, help="Study in RESULTS; needed if it holds several.")


@click.command()
@RESULTS
@STUDY
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program; write no figure.")
def pareto(results: str, study: str | None, as_json: bool) -> None:
    """Print a study's front and write it as front.csv, front.pdf and front.svg.

    RESULTS is the folder or URI of `fairfm sweep run`. The front holds the configurations that no
    other one beats in every objective on validation; the numbers shown are those on test.
    """
    from analysis.commands import json_front, write_front

    click.echo(json_front(results, study) if as_json else write_front(results, study))


@click.command()
@RESULTS
@STUDY
def report(results: str, study: str | None) -> None:
    """Write one self-contained HTML page on a study and print its path.

    RESULTS is the folder or URI of `fairfm sweep run`. The page needs no network: open it in any
    browser, print it, or send it.
    """
    from analysis.commands import write_report

    click.echo(write_report(results, study))


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _some(text: str, option: str) -> tuple[str, ...]:
    """The distinct entries of a list that may not be empty."""
    if not (entries := tuple(dict.fromkeys(_listed(text)))):
        raise click.BadParameter("name at least one, such as the default", param_hint=option)
    return entries


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(item) for item in _listed(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 40,60") from error
