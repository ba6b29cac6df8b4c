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
@click.option(
    "--split-list",
    type=click.Path(),
    help="csv with `split` and Image Index [chestxray14], index [chexpert], dicom_id [mimic-cxr].",
)
@click.option(
    "--random-split", is_flag=True, help="Not the official split [chestxray14, mimic-cxr]."
)
@click.option(
    "--demographics",
    type=click.Path(),
    help="CHEXPERT DEMO.xlsx [chexpert], folder of MIMIC-IV's tables [mimic-cxr].",
)
@click.option("--no-demographics", is_flag=True, help="Leave race null [chexpert, mimic-cxr].")
@click.option(
    "--population",
    type=click.Choice(["study", "frontal"]),
    default="study",
    show_default=True,
    help="Glocker's, or every frontal image [chexpert, mimic-cxr].",
)
@click.option(
    "--labeller",
    type=click.Choice(["chexpert", "negbio"]),
    default="chexpert",
    show_default=True,
    help="Who read the labels out of the reports [mimic-cxr].",
)
@click.option(
    "--allow-missing",
    type=int,
    help="Images that may be absent or unreadable [all but phantom, photographs].",
)
@click.option("--effect", type=float, help="Size of what is planted, 0 = fair [phantom].")
@click.option("--patients", type=int, help="Number of patients [phantom].")
@click.option("--seed", type=int, help="Seed of the world or the patches [phantom, photographs].")
@click.option("--patches", type=int, help="Number of patches in all, 2000 [photographs].")
def prepare(
    kind: str,
    source: str,
    out: str,
    size: int | None,
    split_seed: int,
    fractions: tuple[float, float, float],
    split_list: str | None,
    random_split: bool,
    demographics: str | None,
    no_demographics: bool,
    population: str,
    labeller: str,
    allow_missing: int | None,
    effect: float | None,
    patients: int | None,
    seed: int | None,
    patches: int | None,
) -> None:
    """Read a data set once: cohort and decoded images.

    KIND is phantom, photographs, chexpert, chestxray14, mimic-cxr or table. SOURCE is the folder of
    the data set, or its table; for phantom a world's name (unfair, fair, skewed) or a YAML file of
    its fields; for photographs a folder of them or sklearn; for table the YAML file that describes
    it.
    """
    from fairfm_core.data.preparation.prepare import prepare as prepare_data
    from fairfm_core.data.preparation.progress import ProgressLine

    prepared = prepare_data(
        kind,
        source,
        out,
        size,
        say=click.echo,
        progress=ProgressLine(sys.stderr),
        split_seed=split_seed,
        fractions=fractions,
        split_list=split_list,
        random_split=random_split,
        demographics=demographics,
        no_demographics=no_demographics,
        population=population,
        labeller=labeller,
        allow_missing=allow_missing,
        effect=effect,
        patients=patients,
        seed=seed,
        patches=patches,
    )
    _print_counts(prepared)


@data.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--figure", type=click.Path(), help="Draw the cohort into this .pdf, .svg or .png.")
def check(folder: str, as_json: bool, figure: str | None) -> None:
    """Verify digests, leakage, labels and groups of DIR; print its cohort."""
    import json

    from fairfm_core.data.dataset import verify
    from fairfm_core.data.summary import cohort_summary, small_groups, summary_text

    if figure is not None:
        from fairfm_core.data.summary_figure import figure_form

        figure_form(figure)  # a wrong name is told before every byte is read
    checked = verify(folder)
    summary = cohort_summary(checked.frame)
    if figure is not None:
        from fairfm_core.data.summary_figure import write_figure

        write_figure(summary, checked.manifest, figure)
    if as_json:
        manifest = checked.manifest.model_dump(mode="json") | {"digest": checked.digest}
        records = json.loads(summary.to_json(orient="records"))
        small = small_groups(checked.frame)
        click.echo(json.dumps({"manifest": manifest, "cohort": records, "small_groups": small}))
        return
    _print_counts(checked)
    click.echo("prevalence in percent (positive images), uncertain labels taken as absent:")
    click.echo(summary_text(summary))
    click.echo("all checks passed")


def _print_counts(prepared: PreparedData) -> None:
    from fairfm_core.data.summary import FEWEST_PATIENTS, small_groups
    from fairfm_core.errors import first_ten

    manifest = prepared.manifest
    click.echo(
        f"{prepared.folder}: {manifest.kind}, {manifest.size} x {manifest.size} "
        f"({manifest.interpolation}), digest {prepared.digest}"
    )
    for name, count in (manifest.counts | manifest.notes).items():
        click.echo(f"  {name}: {count:,}")
    click.echo(f"  pathologies: {', '.join(prepared.pathologies)}")
    click.echo(f"  attributes: {', '.join(prepared.attributes) or 'none'}")
    if small := small_groups(prepared.frame):
        click.echo(
            f"  warning: groups of fewer than {FEWEST_PATIENTS} patients: {first_ten(small)}"
        )
