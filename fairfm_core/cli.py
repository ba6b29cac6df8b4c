"""The command line of the core: `fairfm data`. Imports wait inside commands, so help is quick."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fairfm_core.data.dataset import PreparedData


@click.group()
def data() -> None:
    """Prepare data sets and check them."""


@data.command()
@click.argument("kind")
@click.argument("source")
@click.option("--out", required=True, type=click.Path(), help="Folder to make.")
@click.option("--size", type=int, help="Pixels a side [224; a phantom world's own].")
@click.option("--split-seed", type=int, default=0, show_default=True, help="Seed of a split.")
@click.option(
    "--fractions",
    type=float,
    nargs=3,
    default=(0.6, 0.1, 0.3),
    show_default=True,
    help="Shares of patients in train, val and test.",
)
@click.option("--split-list", type=click.Path(), help="csv: Image Index,split [chestxray14].")
@click.option("--allow-missing", type=int, help="Images that may be absent [chestxray14].")
@click.option("--effect", type=float, help="Size of what is planted, 0 = fair [phantom].")
@click.option("--patients", type=int, help="Number of patients [phantom].")
@click.option("--seed", type=int, help="Seed of the world [phantom].")
def prepare(
    kind: str,
    source: str,
    out: str,
    size: int | None,
    split_seed: int,
    fractions: tuple[float, float, float],
    split_list: str | None,
    allow_missing: int | None,
    effect: float | None,
    patients: int | None,
    seed: int | None,
) -> None:
    """Read a data set once: cohort and decoded images.

    KIND is phantom or chestxray14. SOURCE is a folder or its table; for phantom a world's name
    (unfair, fair) or a YAML file of its fields.
    """
    from fairfm_core.data.preparation import prepare as prepare_data

    prepared = prepare_data(
        kind,
        source,
        out,
        size,
        say=click.echo,
        progress=_progress,
        split_seed=split_seed,
        fractions=fractions,
        split_list=split_list,
        allow_missing=allow_missing,
        effect=effect,
        patients=patients,
        seed=seed,
    )
    _print_counts(prepared)


@data.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def check(folder: str, as_json: bool) -> None:
    """Verify digests, leakage, labels and groups of DIR; print its cohort."""
    import json

    from fairfm_core.data.dataset import verify
    from fairfm_core.data.summary import cohort_summary, summary_text

    checked = verify(folder)
    summary = cohort_summary(checked.frame)
    if as_json:
        manifest = checked.manifest.model_dump(mode="json") | {"digest": checked.digest}
        records = json.loads(summary.to_json(orient="records"))
        click.echo(json.dumps({"manifest": manifest, "cohort": records}))
        return
    _print_counts(checked)
    click.echo("prevalence in percent (positive images):")
    click.echo(summary_text(summary))
    click.echo("all checks passed")


def _progress(done: int, total: int) -> None:
    """A counter on a terminal, nothing in a log."""
    if sys.stderr.isatty():
        click.echo(f"\r{done}/{total} images", nl=done == total, err=True)


def _print_counts(prepared: PreparedData) -> None:
    manifest = prepared.manifest
    click.echo(
        f"{prepared.folder}: {manifest.kind}, {manifest.size} x {manifest.size} "
        f"({manifest.interpolation}), digest {prepared.digest}"
    )
    for name, count in (manifest.counts | manifest.notes).items():
        click.echo(f"  {name}: {count:,}")
    click.echo(f"  pathologies: {', '.join(prepared.pathologies)}")
    click.echo(f"  attributes: {', '.join(prepared.attributes) or 'none'}")
