"""`fairfm model`: the zoo of foundation models. Commands import what they need, so help is fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairfm_core.commands.places import LocalPath, OutPath

if TYPE_CHECKING:
    from fairfm_core.config.zoo import FoundationModel
    from fairfm_core.models.weights.coverage import Coverage

COLUMNS = ("id", "backbone", "method", "domain", "corpora", "licence", "source")


@click.group()
def model() -> None:
    """List foundation models, convert their published weights and check converted ones."""


@model.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with all fields.")
def list_models(as_json: bool) -> None:
    """List the foundation models: network, pre-training, licence, where to get the weights."""
    import json
    from dataclasses import asdict

    from fairfm_core.config.zoo import MODELS

    if as_json:
        click.echo(json.dumps([asdict(record) for record in MODELS], indent=1))
        return
    click.echo(_table([COLUMNS, *(_row(record) for record in MODELS)]))


@model.command()
@click.argument("name")
@click.argument("file", required=False, type=LocalPath())
@click.option("--out", required=True, type=OutPath(), help="Output file, .safetensors.")
@click.option("--format", "form", help="Format of FILE [default: the zoo's].")
@click.option("--backbone", help="Name of the network in timm [default: the zoo's].")
@click.option(
    "--image-size", type=int, help="Height and width of images in pre-training [default: 224]."
)
@click.option(
    "--channels", type=click.Choice(["1", "3"]), help="Input channels of FILE [default: 3]."
)
@click.option(
    "--heads",
    type=click.IntRange(min=1),
    help="Number of attention heads, if FILE does not state it.",
)
@click.option(
    "--key",
    help="Key of FILE that holds the weights, such as state_dict_ema, if there are several.",
)
@click.option(
    "--prefix", help="Prefix of the names of the backbone's tensors, such as model.backbone."
)
def convert(
    name: str,
    file: str | None,
    out: str,
    form: str | None,
    backbone: str | None,
    image_size: int | None,
    channels: str | None,
    heads: int | None,
    key: str | None,
    prefix: str | None,
) -> None:
    """Convert published weights to safetensors.

    Weights that do not fill the whole backbone are refused.

    NAME is an id from `fairfm model list`, or a name of your own together with --format and
    --backbone. FILE is the published file or folder; effnet_lite0 needs none, because an installed
    package contains its weights.
    """
    from fairfm_core.models.checkpoints.registry import convert as convert_file
    from fairfm_core.models.checkpoints.sources import bundled_file
    from fairfm_core.models.weights.provenance import files_sha256

    given = {"format": form, "backbone": backbone, "image_size": image_size}
    given |= {"channels": int(channels) if channels else None, "heads": heads}
    record = _record(name, file, given)
    source = Path(file) if file is not None else bundled_file(record)
    converted = convert_file(record, source, key, prefix)
    converted.write(Path(out))
    click.echo(f"{source} -> {out}")
    click.echo(f"  {record.title}, format {converted.format}, backbone {record.backbone}")
    if converted.heads:
        click.echo(f"  attention heads: {converted.heads}")
    _print_coverage(converted.coverage(), len(converted.tensors))
    if origin := converted.position_table():
        click.echo(f"  position embeddings: {origin}")
    click.echo(f"  licence: {record.licence}")
    click.echo(f"  sha256 of the source: {converted.sha256}")
    click.echo(f"  sha256 of {out}: {files_sha256([Path(out)])}")


@model.command()
@click.argument("file", metavar="W.safetensors", type=LocalPath())
@click.option(
    "--model",
    "name",
    help="Check against the backbone of this model [default: the one in the file].",
)
def check(file: str, name: str | None) -> None:
    """Check that a converted file fills its backbone, and print what it holds."""
    from fairfm_core.config.zoo import foundation_model
    from fairfm_core.models.weights.converted import read_weights
    from fairfm_core.models.weights.coverage import file_pool, meta_network
    from fairfm_core.models.weights.hidden import attention_heads
    from fairfm_core.models.weights.loading import fitted_weights
    from fairfm_core.models.weights.probe import verify_probe

    weights = read_weights(Path(file))
    about = weights.about
    backbone = about.backbone if name is None else foundation_model(name).network()
    network = meta_network(backbone, file_pool(backbone, weights.tensors))
    coverage = fitted_weights(network, weights).coverage
    verify_probe(weights)
    click.echo(f"{file}: {about.model}, format {about.format}, backbone {backbone.name}")
    if attention_heads(network):
        click.echo(f"  attention heads: {about.heads or 'not stated; a study has to'}")
    _print_coverage(coverage, len(network.state_dict()))
    if about.probe:
        click.echo("  features of the fixed image: as recorded")
    click.echo(f"  licence: {about.licence}")
    click.echo(f"  sha256 of the source: {about.source_sha256}")
    click.echo(f"  sha256: {weights.sha256}")


def _record(name: str, file: str | None, given: dict[str, Any]) -> FoundationModel:
    """The zoo's record with the options the user gave, or a record made from these options."""
    from dataclasses import replace

    from fairfm_core.config.zoo import ZOO, check_format, foundation_model, user_model

    given = {key: value for key, value in given.items() if value is not None}
    if "format" in given:
        check_format(given["format"])
    if name not in ZOO and {"format", "backbone"} <= set(given):
        return _with_heads(user_model(file or name, id=name, title=name, **given))
    record = foundation_model(name)
    if given.get("backbone", record.backbone) != record.backbone:
        record = replace(record, heads=None)  # what is known of the model's own network
    return _with_heads(replace(record, **given))


def _with_heads(record: FoundationModel) -> FoundationModel:
    """The record whose network has its number of attention heads, if that is known."""
    from dataclasses import replace

    from fairfm_core.config.backbone import with_heads

    if record.heads is None:
        return record
    return replace(record, options=with_heads(record.backbone, record.options, record.heads))


def _print_coverage(coverage: Coverage, total: int) -> None:
    from fairfm_core.models.weights.diagnosis import first_names

    click.echo(
        f"  loaded: {coverage.loaded} of {total} backbone tensors "
        f"({100 * coverage.loaded / total:.0f} %), {coverage.parameters:,} parameters"
    )
    for change in coverage.adapted:
        click.echo(f"  adapted: {change}")
    for reason, names in coverage.dropped.items():
        click.echo(f"  dropped: {len(names)}, {reason} ({first_names(names)})")


def _row(record: FoundationModel) -> tuple[str, ...]:
    values = {"corpora": ", ".join(record.corpora) or "none"}
    return tuple(values.get(column) or str(getattr(record, column)) for column in COLUMNS)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
