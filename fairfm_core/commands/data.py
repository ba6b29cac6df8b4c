"""`fairfm data`: prepare and check data sets. Commands import what they need, so help is fast."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fairfm_core.commands.places import LocalPath, OutPath, OutPlace, Place

if TYPE_CHECKING:
    import pandas as pd

    from fairfm_core.data.dataset import PreparedData
    from fairfm_core.data.image_store.exposure import Exposure
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
@click.option("--out", required=True, type=OutPlace(), help="Output folder, or s3://BUCKET/FOLDER.")
@click.option(
    "--size",
    type=int,
    help="Height and width of the stored images [default: 224; phantom: the world's].",
)
@click.option(
    "--resize",
    type=click.Choice(["square", "crop", "pad"]),
    default="square",
    show_default=True,
    help="How images become squares: squeezed, or with the aspect kept, by cropping the longer"
    " side or padding the shorter one with black.",
)
@click.option(
    "--grey-range",
    type=click.Choice(["auto", "lowest-highest", "stored", "8", "10", "12", "14", "16"]),
    default="auto",
    show_default=True,
    help="Black and white of files of more than 8 bits: by the values or the window of each file,"
    " its lowest and highest value, the bits that it declares, or so many bits for all.",
)
@click.option(
    "--window",
    type=float,
    nargs=2,
    metavar="CENTRE WIDTH",
    help="Window for every DICOM file instead of its own.",
)
@click.option(
    "--frames",
    type=click.Choice(["one", "first"]),
    default="one",
    show_default=True,
    help="Refuse files of several frames, or read the first.",
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
    "--stratify",
    help="Attributes and pathologies, such as sex,race,Edema, whose shares are kept equal in random"
    " splits [default: sex,race].",
)
@click.option(
    "--split-list",
    type=LocalPath(),
    help="CSV file with columns split and Image Index (chestxray14), index, Path or patient_id"
    " (chexpert) or dicom_id.",
)
@click.option(
    "--random-split",
    is_flag=True,
    help="Draw a random split instead of the official one.",
)
@click.option(
    "--demographics",
    type=LocalPath(),
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
    "--report-section",
    type=click.Choice(["report", "findings", "impression"]),
    default="report",
    show_default=True,
    help="Part of the report that CheXpert Plus's labels come from.",
)
@click.option(
    "--agreement",
    type=click.Choice(["majority", "any", "unanimous", "each"]),
    default="majority",
    show_default=True,
    help="How three readers of VinDr-CXR make one label: by majority, by any, only where all agree"
    " (otherwise uncertain), or a label for each.",
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
@click.option(
    "--follow-symlinks",
    is_flag=True,
    help="Also read image files that are links to a place outside their folder.",
)
def prepare(
    kind: str,
    source: str,
    out: str,
    size: int | None,
    resize: str,
    grey_range: str,
    window: tuple[float, float] | None,
    frames: str,
    split_seed: int,
    fractions: tuple[float, float, float],
    stratify: str | None,
    split_list: str | None,
    random_split: bool,
    demographics: str | None,
    no_demographics: bool,
    population: str,
    labeller: str,
    report_section: str,
    agreement: str,
    allow_missing: int | None,
    effect: float | None,
    patients: int | None,
    seed: int | None,
    patches: int | None,
    follow_symlinks: bool,
) -> None:
    """Read a data set and store its cohort and decoded images in a folder.

    An interrupted run is resumed by the same command; a finished data set is reused.
    """
    from fairfm_core.config.evaluation import AGE_EDGES
    from fairfm_core.data.duplicates.report import duplicates
    from fairfm_core.data.image_store.exposure import exposure_of
    from fairfm_core.data.preparation.progress import ProgressLine
    from fairfm_core.data.preparation.remote import prepare_at as prepare_data

    prepared = prepare_data(
        kind,
        source,
        out,
        size,
        say=click.echo,
        progress=ProgressLine(sys.stderr),
        follow_symlinks=follow_symlinks,
        resize=resize,
        grey_range=grey_range,
        window=window,
        frames=frames,
        split_seed=split_seed,
        fractions=fractions,
        stratify=None if stratify is None else [name.strip() for name in stratify.split(",")],
        split_list=split_list,
        random_split=random_split,
        demographics=demographics,
        no_demographics=no_demographics,
        population=population,
        labeller=labeller,
        report_section=report_section,
        agreement=agreement,
        allow_missing=allow_missing,
        effect=effect,
        patients=patients,
        seed=seed,
        patches=patches,
    )
    _print_counts(prepared, AGE_EDGES)
    _print_odd(prepared, exposure_of(prepared.images))
    _print_copies(duplicates(prepared))


@data.command()
@click.argument("folder", metavar="DIR", type=Place())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--figure",
    type=OutPath(),
    help="Also draw the cohort and a contact sheet of its images to this .pdf, .svg or .png file.",
)
@click.option("--age-edges", default="40,60,80", show_default=True, help="Age-bin edges, in years.")
@click.option(
    "--against",
    multiple=True,
    metavar="DIR",
    type=Place(),
    help="Also look for copies of images in this prepared data set; may be repeated.",
)
def check(
    folder: str, as_json: bool, figure: str | None, age_edges: str, against: tuple[str, ...]
) -> None:
    """Verify the prepared data set in DIR and print its cohort.

    Checks the digests, patients in several splits, labels and groups, looks for copies of images
    (equal pixels, or one picture encoded or resized anew), and names images that look wrong:
    constant, of few grey levels, clipped or inverted.
    """
    import json

    from fairfm_core.data.dataset import open_dataset, verify
    from fairfm_core.data.duplicates.report import duplicates, shared_images, shared_text
    from fairfm_core.data.image_store.exposure import exposure_of
    from fairfm_core.data.summary import cohort_summary, small_groups, summary_text

    if figure is not None:
        from fairfm_core.data.summary_figure import figure_form

        figure_form(figure)  # rejects an unsupported name before reading every byte
    edges = _edges(age_edges)
    checked = verify(folder)
    summary = cohort_summary(checked.frame, edges)
    copies = duplicates(checked)
    exposure = exposure_of(checked.images)
    others = [open_dataset(other) for other in against]
    shared = [(other, shared_images(checked, other)) for other in others]
    if figure is not None:
        from fairfm_core.data.contact_sheet import contact_sheet
        from fairfm_core.data.summary_figure import write_figure

        write_figure(summary, checked.manifest, figure, contact_sheet(checked, exposure))
    if as_json:
        manifest = checked.manifest.model_dump(mode="json") | {"digest": checked.digest}
        small = small_groups(checked.frame, age_edges=edges)
        found = {
            "duplicates": _records(copies),
            "odd_images": _odd(checked, exposure),
            "shared": {other.place: _records(table) for other, table in shared},
        }
        parts = {"manifest": manifest, "cohort": _records(summary), "small_groups": small}
        click.echo(json.dumps(parts | found))
        return
    _print_counts(checked, edges)
    _print_odd(checked, exposure)
    _print_copies(copies)
    for other, table in shared:
        click.echo(f"  {shared_text(table, checked, other)}")
    if checked.unsealed:
        click.echo(f"  {checked.unsealed}")
    click.echo("prevalence in percent (positive images); uncertain labels count as absent:")
    click.echo(summary_text(summary))
    click.echo("all checks passed")


@data.command()
@click.argument("folder", metavar="DIR", type=LocalPath())
def seal(folder: str) -> None:
    """Add checksums of every image to the prepared data set in DIR.

    For a data set that an earlier version prepared, or whose hashes.npy is damaged. Its content is
    verified first and its digest stays as it is.
    """
    from fairfm_core.data.preparation.sealing import seal as seal_data

    sealed = seal_data(folder)
    click.echo(f"{folder}: checksums of {len(sealed.frame):,} images, digest {sealed.digest}")


@data.command()
@click.option("--delete", is_flag=True, help="Delete them.  [default: list them only]")
def copies(delete: bool) -> None:
    """List this machine's copies of what was read from s3://, with sizes.

    They are in the user's cache folder and are made again when they are needed. Delete them while
    nothing uses them.
    """
    from fairfm_core.data.node_copy import copies_folder, node_copies, remove_copy

    found = list(node_copies())
    for copy in found:
        click.echo(f"{copy.size / 1e6:>10,.1f} MB  {copy.source or 'never finished'}")
        if delete:
            remove_copy(copy)
    total = f"{sum(copy.size for copy in found) / 1e6:,.1f} MB in {copies_folder()}"
    click.echo(f"{total} {'deleted' if delete else 'can be deleted with --delete'}")


def _records(table: pd.DataFrame) -> Any:
    """A table's rows as JSON values."""
    import json

    return json.loads(table.to_json(orient="records"))


def _print_copies(copies: pd.DataFrame) -> None:
    from fairfm_core.data.duplicates.report import duplicates_text

    for line in duplicates_text(copies):
        click.echo(f"  {line}")


def _odd(data: PreparedData, exposure: Exposure) -> dict[str, list[str]]:
    """What is odd -> the ids of the images."""
    from fairfm_core.data.image_store.exposure import odd_images

    ids = data.frame["image_id"]
    return {name: list(ids.iloc[rows]) for name, rows in odd_images(exposure).items()}


def _print_odd(data: PreparedData, exposure: Exposure) -> None:
    """Warnings of images that look wrong, and of depths that differ between files."""
    from fairfm_core.data.image_store.grey_levels import mixed_depths
    from fairfm_core.errors import first_ten

    for name, ids in _odd(data, exposure).items():
        click.echo(f"  warning: {len(ids):,} images {name}: {first_ten(ids)}")
    if depths := mixed_depths(data.manifest.notes):
        click.echo(
            f"  warning: {', '.join(depths)}: the range follows the values of each file, so dark "
            "images may be brightened; --grey-range BITS gives all files one range"
        )


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
        f"{prepared.place}: {manifest.kind}, {manifest.size} x {manifest.size} "
        f"({manifest.resizing}), digest {prepared.digest}"
    )
    for name, count in (manifest.counts | manifest.notes).items():
        click.echo(f"  {name}: {count:,}")
    click.echo(f"  pathologies: {', '.join(prepared.pathologies)}")
    click.echo(f"  attributes: {', '.join(prepared.attributes) or 'none'}")
    if small := small_groups(prepared.frame, age_edges=age_edges):
        click.echo(
            f"  warning: groups with fewer than {FEWEST_PATIENTS} patients: {first_ten(small)}"
        )
