"""`fairfm data`: prepare and check data sets. Commands import what they need, so help is fast."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fairfm_core.data.dataset import PreparedData
    from fairfm_core.data.preparation.kinds import Kind


class Prepare(click.Command):
    """`fairfm data prepare`, whose help lists the kinds of data sets from their records."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The kinds, then the options."""
        from fairfm_core.data.preparation.kinds import KINDS

        with formatter.section("Kinds, their SOURCE and the options they take"):
            formatter.write_dl([(name, _kind_text(kind)) for name, kind in KINDS.items()])
        super().format_options(ctx, formatter)


@click.group()
def data() -> None:
    """Prepare and check data sets."""


@data.command(cls=Prepare)
@click.argument("kind")
@click.argument("source")
@click.option("--out", required=True, type=click.Path(), help="Output folder.")
@click.option(
    "--size",
    type=int,
    help="Height and width of the stored images [default: 224; phantom: the world's].",
)
@click.option(
    "--split-seed", type=int, default=0, show_default=True, help="Random seed of the split."
)
@click.option(
    "--fractions",
    type=float,
    nargs=3,
    default=(0.6, 0.1, 0.3),
    show_default=True,
    help="Fractions of patients in train, val and test.",
)
@click.option(
    "--split-list",
    type=click.Path(),
    help="CSV file with columns split and Image Index (chestxray14), index (chexpert) or dicom_id.",
)
@click.option(
    "--random-split",
    is_flag=True,
    help="Draw a random split instead of the official one.",
)
@click.option(
    "--demographics",
    type=click.Path(),
    help="CHEXPERT DEMO.xlsx (chexpert) or the folder of MIMIC-IV's tables (mimic-cxr).",
)
@click.option(
    "--no-demographics",
    is_flag=True,
    help="Leave race null; with mimic-cxr, sex and age too.",
)
@click.option(
    "--population",
    type=click.Choice(["study", "frontal"]),
    default="study",
    show_default=True,
    help="Study population of Glocker 2022, or all frontal images.",
)
@click.option(
    "--labeller",
    type=click.Choice(["chexpert", "negbio"]),
    default="chexpert",
    show_default=True,
    help="Report labeller.",
)
@click.option(
    "--allow-missing",
    type=int,
    help="Maximum number of missing or unreadable images [default: 0].",
)
@click.option(
    "--effect",
    type=float,
    help="Scale of the planted differences between groups; 0 is fair.",
)
@click.option("--patients", type=int, help="Number of patients.")
@click.option("--seed", type=int, help="Random seed of the world or of the patches.")
@click.option("--patches", type=int, help="Number of patches in total [default: 2000].")
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
    """Read a data set and store its cohort and decoded images in a folder.

    An interrupted run is resumed by the same command; a finished data set is reused.
    """
    from fairfm_core.config.evaluation import AGE_EDGES
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
    _print_counts(prepared, AGE_EDGES)


@data.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--figure", type=click.Path(), help="Also draw the cohort to this .pdf, .svg or .png file."
)
@click.option("--age-edges", default="40,60,80", show_default=True, help="Age-bin edges, in years.")
def check(folder: str, as_json: bool, figure: str | None, age_edges: str) -> None:
    """Verify the prepared data set in DIR and print its cohort.

    Checks the digests, patients in several splits, labels and groups.
    """
    import json

    from fairfm_core.data.dataset import verify
    from fairfm_core.data.summary import cohort_summary, small_groups, summary_text

    if figure is not None:
        from fairfm_core.data.summary_figure import figure_form

        figure_form(figure)  # rejects an unsupported name before reading every byte
    edges = _edges(age_edges)
    checked = verify(folder)
    summary = cohort_summary(checked.frame, edges)
    if figure is not None:
        from fairfm_core.data.summary_figure import write_figure

        write_figure(summary, checked.manifest, figure)
    if as_json:
        manifest = checked.manifest.model_dump(mode="json") | {"digest": checked.digest}
        records = json.loads(summary.to_json(orient="records"))
        small = small_groups(checked.frame, age_edges=edges)
        click.echo(json.dumps({"manifest": manifest, "cohort": records, "small_groups": small}))
        return
    _print_counts(checked, edges)
    click.echo("prevalence in percent (positive images); uncertain labels count as absent:")
    click.echo(summary_text(summary))
    click.echo("all checks passed")


def _kind_text(kind: Kind) -> str:
    from fairfm_core.data.preparation.kinds import option_name

    options = sorted(map(option_name, kind.options))
    return f"{kind.source}; {', '.join(options)}"


def _edges(text: str) -> tuple[float, ...]:
    """The age-bin edges of an option; raises BadInput for edges that make no bins."""
    from fairfm_core.data.groups import bin_names
    from fairfm_core.errors import BadInput

    try:
        edges = tuple(float(edge) for edge in text.split(","))
    except ValueError as error:
        raise BadInput(f"--age-edges: {text!r} is not a list of years such as 40,60") from error
    try:
        bin_names(edges)
    except BadInput as error:
        raise BadInput(f"--age-edges: {error}") from error
    return edges


def _print_counts(prepared: PreparedData, age_edges: tuple[float, ...]) -> None:
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
    if small := small_groups(prepared.frame, age_edges=age_edges):
        click.echo(
            f"  warning: groups with fewer than {FEWEST_PATIENTS} patients: {first_ten(small)}"
        )
