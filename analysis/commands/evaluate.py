"""The command `fairfm evaluate`. The work is imported inside, so that `--help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fairfm_core.config.evaluation import EvaluationSettings

LISTS = {
    "attributes": ("sex,race", "Protected attributes, by comma; 'race x sex' are combinations."),
    "protocol": ("full", "How images are weighed: full, balanced, resample, glocker."),
    "metrics": (
        "auc,auprc,rates,brier,ece,calibration",
        "Families of metrics; the AUC is always among them.",
    ),
    "thresholds": ("fpr=0.2", "Where rates stand, on validation: fpr=0.2, sensitivity=0.8, f1."),
    "balance": ("race,sex", "Attributes whose combinations balanced and resample make alike."),
    "age-edges": ("40,60,80", "Where ages are cut, in years."),
    "family": (
        "",
        "Numbers that --compare tests together; empty: auc and each attribute's gap.",
    ),
}
NUMBERS: dict[str, tuple[Any, Any, str]] = {
    "replicates": (200, click.IntRange(min=0), "Bootstrap replicates."),
    "permutations": (200, click.IntRange(min=0), "Permutations of groups over patients (null)."),
    "confidence": (0.95, click.FloatRange(0, 1, True, True), "Of every interval."),
    "min-cases": (1, click.IntRange(min=1), "Fewest positives and negatives of a defined cell."),
    "seed": (0, click.IntRange(min=0), "Of draws and permutations."),
    "resampling": ("patients", click.Choice(["patients", "images"]), "What a replicate draws."),
    "intervals": ("bootstrap", click.Choice(["bootstrap", "delong"]), "delong: AUC, at once."),
    "resample-factor": (
        3.0,
        click.FloatRange(min=0, min_open=True),
        "Size of a drawn test set, in images of the split.",
    ),
    "resample-seed": (42, click.IntRange(min=0), "Of drawn test sets."),
    "split": ("test", click.Choice(["train", "val", "test"]), "Split whose numbers are compared."),
}


def _options(command: Any) -> Any:
    for name, (number, kind, text) in reversed(NUMBERS.items()):
        command = click.option(
            f"--{name}", default=number, type=kind, show_default=True, help=text
        )(command)
    for name, (default, text) in reversed(LISTS.items()):
        command = click.option(f"--{name}", default=default, show_default=True, help=text)(command)
    return command


@click.command()
@click.argument("predictions", nargs=-1)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--compare",
    type=(str, str),
    multiple=True,
    metavar="A B",
    help="Paired difference of two models; may be given several times.",
)
@click.option("--study", default=None, help="Study of a results folder that holds several.")
@_options
def evaluate(
    predictions: tuple[str, ...],
    out: Path,
    compare: tuple[tuple[str, str], ...],
    study: str | None,
    **options: Any,
) -> None:
    """Turn the PREDICTIONS of one model into metrics, gaps and differences with intervals.

    PREDICTIONS are parquet files, one or more per split, or folders of them, with the columns
    image_id, patient_id, split, attributes such as sex, and y_<p>, p_<p> for each pathology.

    With --compare A B two models are compared on the same images, instead. A and B are files,
    folders of one model, or folders of such folders, its seeds; or, with one results folder as
    PREDICTIONS, labels of its configurations.
    """
    settings = _settings(options)
    if compare:
        click.echo(_compared(predictions, out, compare, study, settings, options))
    else:
        click.echo(_evaluated(predictions, out, settings))


def _evaluated(predictions: tuple[str, ...], out: Path, settings: EvaluationSettings) -> str:
    from analysis.evaluation.evaluate import evaluate_files
    from analysis.evaluation.text import short_table
    from fairfm_core.evaluation.tables import TABLES

    if not predictions:
        raise click.UsageError("name the PREDICTIONS of one model, or two models with --compare")
    evaluation = evaluate_files([Path(name) for name in predictions], out, settings)
    written = ", ".join(table.file for table in TABLES.values())
    return f"{short_table(evaluation, settings)}\nwrote {written} to {out}"


def _compared(
    predictions: tuple[str, ...],
    out: Path,
    pairs: tuple[tuple[str, str], ...],
    study: str | None,
    settings: EvaluationSettings,
    options: dict[str, Any],
) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from analysis.evaluation.comparison import (
        FILE,
        SCHEMA,
        Asked,
        compare_configurations,
        compare_files,
        comparison_text,
    )

    if len(predictions) > 1:
        raise click.UsageError("--compare takes no PREDICTIONS, or one results folder")
    asked = Asked(pairs, settings, tuple(_listed(options["family"])), options["split"])
    if predictions:
        asked, table = compare_configurations(predictions[0], study, asked)
    else:
        table = compare_files(asked)
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False), out / FILE)
    return f"{comparison_text(table, asked)}\nwrote {FILE} to {out}, with every other number"


def _settings(options: dict[str, Any]) -> EvaluationSettings:
    from fairfm_core.config.evaluation import EvaluationSettings
    from fairfm_core.config.yaml_input import validated

    as_they_are = (
        *("replicates", "permutations", "confidence", "min_cases", "seed"),
        *("resampling", "intervals", "resample_factor", "resample_seed"),
    )
    given = {name: options[name] for name in as_they_are} | {
        "protocols": _known_protocols(_some(options["protocol"], "--protocol")),
        "attributes": tuple(dict.fromkeys(_listed(options["attributes"]))),
        "metrics": _known_metrics(_some(options["metrics"], "--metrics")),
        "operating_points": _some(options["thresholds"], "--thresholds"),
        "age_edges": _numbers(options["age_edges"]),
        "balance": _some(options["balance"], "--balance"),
    }
    return validated(EvaluationSettings, given, "evaluate")


def _known_protocols(names: tuple[str, ...]) -> tuple[str, ...]:
    from fairfm_core.evaluation.protocols.registry import PROTOCOLS

    return _known("protocol", names, tuple(PROTOCOLS))


def _known_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    from fairfm_core.evaluation.metrics import check_families

    check_families(names)
    return names


def _known(what: str, names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The names as they are; raises BadInput for one that is unknown."""
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
        raise click.BadParameter("name at least one, such as the default", param_hint=option)
    return entries


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(item) for item in _listed(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 40,60") from error
