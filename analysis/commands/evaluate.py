"""`fairfm evaluate`. The work is imported inside it, so that `--help` loads no heavy library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.commands.prediction_options import prediction_form, prediction_options
from fairfm_core.commands.places import OutPath

if TYPE_CHECKING:
    from fairfm_core.config.evaluation import EvaluationSettings
    from fairfm_core.evaluation.reading.form import PredictionForm

LISTS = {
    "attributes": (
        "",
        "Protected attributes, separated by commas; 'race x sex' means their combinations."
        "  [default: sex and race, where the predictions have them]",
    ),
    "protocol": (
        "full",
        "Protocols, by which images are weighted: full, balanced, resample, glocker.",
    ),
    "metrics": (
        "auc,auprc,rates,brier,ece,calibration",
        "Families of metrics; the AUC is always included.",
    ),
    "thresholds": (
        "fpr=0.2",
        "Operating points, chosen on validation: fpr=0.2, sensitivity=0.8, f1.",
    ),
    "balance": ("race,sex", "Attributes to balance, for the protocols balanced and resample."),
    "age-edges": ("40,60,80", "Age-bin edges, in years."),
    "family": (
        "",
        "Numbers that --compare tests and corrects together; empty: auc and each AUC gap.",
    ),
}
NUMBERS: dict[str, tuple[Any, Any, str]] = {
    "replicates": (
        200,
        click.IntRange(min=0),
        "Bootstrap replicates, for intervals and for the null of a gap.",
    ),
    "confidence": (0.95, click.FloatRange(0, 1, True, True), "Confidence level."),
    "min-cases": (
        1,
        click.IntRange(min=1),
        "Smallest number of positives and of negatives in a group.",
    ),
    "seed": (0, click.IntRange(min=0), "Random seed for the bootstrap."),
    "resampling": ("patients", click.Choice(["patients", "images"]), "Bootstrap unit."),
    "intervals": (
        "bootstrap",
        click.Choice(["bootstrap", "delong"]),
        "delong: analytic interval (AUC only).",
    ),
    "resample-factor": (
        3.0,
        click.FloatRange(min=0, min_open=True),
        "Size of a drawn test set, as a multiple of the split's images.",
    ),
    "resample-seed": (42, click.IntRange(min=0), "Random seed for drawn test sets."),
    "split": ("test", click.Choice(["train", "val", "test"]), "Split on which --compare tests."),
}


def _options(command: Any) -> Any:
    for name, (number, kind, text) in reversed(NUMBERS.items()):
        command = click.option(
            f"--{name}", default=number, type=kind, show_default=True, help=text
        )(command)
    for name, (default, text) in reversed(LISTS.items()):
        shown = bool(default)
        command = click.option(f"--{name}", default=default, show_default=shown, help=text)(command)
    return command


@click.command()
@click.argument("predictions", nargs=-1)
@click.option(
    "--out",
    required=True,
    type=OutPath(file_okay=False, path_type=Path),
    help="Results folder.",
)
@click.option(
    "--compare",
    type=(str, str),
    multiple=True,
    metavar="A B",
    help="Paired difference of two models; may be repeated.",
)
@click.option(
    "--study", default=None, help="Study in a results folder; required if there are several."
)
@_options
@prediction_options
def evaluate(
    predictions: tuple[str, ...],
    out: Path,
    compare: tuple[tuple[str, str], ...],
    study: str | None,
    **options: Any,
) -> None:
    """Turn the PREDICTIONS of one model into metrics, gaps and differences with intervals.

    PREDICTIONS are files, one or more for all splits, or folders of them: parquet, csv, npz or
    xlsx. Their columns are image_id, patient_id, split, attributes such as sex, and y_<pathology>
    and p_<pathology>; --column, --labels and --predicted name others.

    A page is printed. OUT holds it with report.html, the tables as parquet and csv, and figures.

    With --compare A B two models are compared on the same images instead. A and B are files,
    folders of one model's files, or folders that hold one folder for each seed; or, with a results
    folder as PREDICTIONS, labels of its configurations.
    """
    form = prediction_form(options, options["resampling"])
    if compare:
        click.echo(_compared(predictions, out, compare, study, form, options))
    else:
        click.echo(_evaluated(predictions, out, form, options))


def _evaluated(
    predictions: tuple[str, ...], out: Path, form: PredictionForm, options: dict[str, Any]
) -> str:
    from analysis.evaluation.evaluate import check_out, evaluate_files
    from analysis.report.evaluation_page import write_findings
    from fairfm_core.data.node_copy import local_files

    if not predictions:
        raise click.UsageError("give the PREDICTIONS of one model, or two models with --compare")
    paths = [local_files(name) for name in predictions]
    check_out(out, paths)
    if sys.stderr.isatty():
        click.echo(f"evaluating {', '.join(predictions)} ...", err=True)
    attributes = tuple(dict.fromkeys(_listed(options["attributes"])))
    evaluated = evaluate_files(paths, _settings(options), form, attributes)
    return write_findings(evaluated, out)


def _compared(
    predictions: tuple[str, ...],
    out: Path,
    pairs: tuple[tuple[str, str], ...],
    study: str | None,
    form: PredictionForm,
    options: dict[str, Any],
) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from analysis.evaluation.comparison import (
        CSV,
        FILE,
        SCHEMA,
        ComparisonRequest,
        compare_configurations,
        compare_files,
        comparison_text,
    )
    from analysis.wording import wrapped

    if len(predictions) > 1:
        raise click.UsageError("--compare takes one results folder as PREDICTIONS, or none")
    family = tuple(_listed(options["family"]))
    attributes = tuple(dict.fromkeys(_listed(options["attributes"])))
    request = ComparisonRequest(pairs, _settings(options), family, options["split"], attributes)
    if predictions:
        request, table = compare_configurations(predictions[0], study, request)
    else:
        request, table = compare_files(request, form)
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False), out / FILE)
    table.to_csv(out / CSV, index=False)
    wrote = wrapped(f"wrote {FILE} and {CSV} to {out}, with every other number, as fractions")
    return "\n".join([comparison_text(table, request), *wrote])


def _settings(options: dict[str, Any]) -> EvaluationSettings:
    """How to evaluate, but for the attributes, which depend on what the predictions have."""
    from fairfm_core.config.evaluation import EvaluationSettings
    from fairfm_core.config.yaml_input import validated

    unchanged = (
        *("replicates", "confidence", "min_cases", "seed"),
        *("resampling", "intervals", "resample_factor", "resample_seed"),
    )
    given = {name: options[name] for name in unchanged} | {
        "protocols": _known_protocols(_some(options["protocol"], "--protocol")),
        "metrics": _known_metrics(_some(options["metrics"], "--metrics")),
        "operating_points": _known_points(_some(options["thresholds"], "--thresholds")),
        "age_edges": _numbers(options["age_edges"]),
        "balance": _some(options["balance"], "--balance"),
    }
    return validated(EvaluationSettings, given, "evaluate")


def _known_protocols(names: tuple[str, ...]) -> tuple[str, ...]:
    from fairfm_core.evaluation.protocols.registry import PROTOCOLS

    return _known("protocol", names, tuple(PROTOCOLS))


def _known_points(names: tuple[str, ...]) -> tuple[str, ...]:
    from fairfm_core.config.evaluation import parse_point
    from fairfm_core.errors import BadInput

    for name in names:
        try:
            parse_point(name)
        except BadInput as error:
            raise BadInput(f"--thresholds: {error}") from error
    return names


def _known_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    from fairfm_core.evaluation.metrics import check_families

    check_families(names)
    return names


def _known(what: str, names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The names unchanged; raises BadInput for an unknown one."""
    from fairfm_core.errors import BadInput, did_you_mean

    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise BadInput(f"unknown {what} {name!r}{hint}; known: {', '.join(known)}")
    return names


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _some(text: str, option: str) -> tuple[str, ...]:
    """The distinct entries of a list that may not be empty."""
    if not (entries := tuple(dict.fromkeys(_listed(text)))):
        raise click.BadParameter("give at least one, such as the default", param_hint=option)
    return entries


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(item) for item in _listed(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 40,60") from error
