"""The command line of the zoo: `fairfm model`. Imports wait inside commands, so help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fairfm_core.config.zoo import FoundationModel
    from fairfm_core.models.weights.coverage import Coverage

COLUMNS = ("id", "backbone", "method", "domain", "corpora", "licence", "source")


@click.group()
def model() -> None:
    """Foundation models: list them, convert their published weights, check converted ones."""


@model.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, with all fields.")
def list_models(as_json: bool) -> None:
    """List the zoo: networks, how they were pre-trained, licences, where to get the weights."""
    import json
    from dataclasses import asdict

    from fairfm_core.config.zoo import MODELS

    if as_json:
        click.echo(json.dumps([asdict(record) for record in MODELS], indent=1))
        return
    click.echo(_table([COLUMNS, *(_row(record) for record in MODELS)]))


@model.command()
@click.argument("name")
@click.argument("file", required=False, type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The .safetensors file to make.")
@click.option("--format", "form", help="How FILE was published, where not as the zoo says.")
@click.option("--backbone", help="Network in timm, where not the zoo's.")
@click.option("--image-size", type=int, help="Pixels a side in pre-training [224].")
@click.option("--channels", type=click.Choice(["1", "3"]), help="Input channels of FILE [3].")
def convert(
    name: str,
    file: str | None,
    out: str,
    form: str | None,
    backbone: str | None,
    image_size: int | None,
    channels: str | None,
) -> None:
    """Turn published weights into safetensors; refused unless they fill the whole backbone.

    NAME is an id of `fairfm model list`, or a name of your own with --format and --backbone. FILE
    is the published file or folder; effnet_lite0 finds that of its installed package by itself.
    """
    from fairfm_core.models.checkpoints.registry import convert as convert_file
    from fairfm_core.models.checkpoints.sources import bundled_file
    from fairfm_core.models.weights.provenance import files_sha256

    said = {"format": form, "backbone": backbone, "image_size": image_size}
    record = _record(name, file, said | {"channels": int(channels) if channels else None})
    source = Path(file) if file is not None else bundled_file(record)
    converted = convert_file(record, source)
    converted.write(Path(out))
    click.echo(f"{source} -> {out}")
    click.echo(f"  {record.title}, format {converted.format}, backbone {record.backbone}")
    _print_coverage(converted.coverage(), len(converted.tensors))
    if origin := converted.position_table():
        click.echo(f"  position embeddings: {origin}")
    click.echo(f"  licence: {record.licence}")
    click.echo(f"  sha256 of the source: {converted.sha256}")
    click.echo(f"  sha256 of {out}: {files_sha256([Path(out)])}")


@model.command()
@click.argument("file", metavar="W.safetensors", type=click.Path())
@click.option("--model", "name", help="Check against this model's backbone [the file's own].")
def check(file: str, name: str | None) -> None:
    """Say what a converted file holds, and that it fills its backbone."""
    from fairfm_core.config.zoo import foundation_model
    from fairfm_core.models.weights.converted import read_weights
    from fairfm_core.models.weights.coverage import file_pool, meta_network
    from fairfm_core.models.weights.loading import fitted_weights

    weights = read_weights(Path(file))
    about = weights.about
    backbone = about.backbone if name is None else foundation_model(name).network()
    network = meta_network(backbone, file_pool(backbone, weights.tensors))
    coverage = fitted_weights(network, weights).coverage
    click.echo(f"{file}: {about.model}, format {about.format}, backbone {backbone.name}")
    _print_coverage(coverage, len(network.state_dict()))
    click.echo(f"  licence: {about.licence}")
    click.echo(f"  sha256 of the source: {about.source_sha256}")
    click.echo(f"  sha256: {weights.sha256}")


def _record(name: str, file: str | None, said: dict[str, Any]) -> FoundationModel:
    """The zoo's record with what the user says instead, or a record of the user's own."""
    from dataclasses import replace

    from fairfm_core.config.zoo import ZOO, check_format, foundation_model, user_model

    said = {key: value for key, value in said.items() if value is not None}
    if "format" in said:
        check_format(said["format"])
    if name not in ZOO and {"format", "backbone"} <= set(said):
        return user_model(file or name, id=name, title=name, **said)
    return replace(foundation_model(name), **said)


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
