"""Options that say how files of predictions are laid out, shared by the commands that read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairfm_core.commands.places import LocalPath

if TYPE_CHECKING:
    from fairfm_core.evaluation.reading.form import PredictionForm
    from fairfm_core.evaluation.reading.layout import PredictionLayout

OPTIONS = (
    click.option(
        "--layout",
        metavar="NAME|FILE",
        help="Program whose files these are, chexclusion, chexploration or medfair, or a layout of"
        " your own in YAML.",
    ),
    click.option(
        "--people",
        type=LocalPath(exists=True),
        metavar="PATH",
        help="For a layout: the table that says who is on each image, or a folder of them.",
    ),
    click.option(
        "--column",
        multiple=True,
        metavar="NAME=COLUMN",
        help="The file's column of image_id, patient_id, split, an attribute, y_<pathology> or"
        " p_<pathology>; may be repeated.",
    ),
    click.option(
        "--labels", default="y_*", show_default=True, help="Columns of labels; * is the pathology."
    ),
    click.option(
        "--predicted",
        default="p_*",
        show_default=True,
        help="Columns of scores; * is the pathology.",
    ),
    click.option(
        "--scores",
        type=click.Choice(["probabilities", "logits", "percent"]),
        help="What the scores are.  [default: what the layout says, else probabilities]",
    ),
    click.option(
        "--pathologies",
        default="",
        help="Pathologies to evaluate, separated by commas.  [default: all]",
    ),
    click.option(
        "--bins",
        multiple=True,
        metavar="NAME=EDGES",
        help="Cut a measurement into groups at these edges, as in bmi=18.5,25; may be repeated.",
    ),
    click.option(
        "--conflicts",
        default="refuse",
        show_default=True,
        type=click.Choice(["refuse", "unknown"]),
        help="Patients of two sexes or races: refuse, or set the attribute to null.",
    ),
    click.option(
        "--delimiter", default=None, help="Of csv files.  [default: the one of the header]"
    ),
    click.option(
        "--encoding", default=None, help="Of csv files, such as latin-1.  [default: UTF-8]"
    ),
)
SAID_BY_LAYOUTS = {"labels": "y_*", "predicted": "p_*"}
"""Options whose meaning a layout has, with their defaults."""
NAMES = (
    *("layout", "people"),
    *("column", "labels", "predicted", "scores", "pathologies"),
    *("bins", "conflicts", "delimiter", "encoding"),
)


def prediction_options(command: Any) -> Any:
    """The command with the options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def prediction_form(options: Mapping[str, Any], resampling: str = "patients") -> PredictionForm:
    """The layout that the options describe; BadInput for one that cannot be.

    Args:
        options: the command's options by name.
        resampling: with `images`, every image may count as a patient where none is named.
    """
    from fairfm_core.evaluation.reading.form import PredictionForm

    layout = _layout(options)
    return PredictionForm(
        columns=dict(_pair("--column", text) for text in options["column"]),
        labels=options["labels"],
        predicted=options["predicted"],
        scores=options["scores"] or ("probabilities" if layout is None else layout.scores),
        pathologies=tuple(n.strip() for n in options["pathologies"].split(",") if n.strip()),
        bins=dict(_bin(text) for text in options["bins"]),
        conflicts=options["conflicts"],
        images_as_patients=resampling == "images",
        delimiter=_delimiter(options["delimiter"]),
        encoding=options["encoding"],
        layout=layout,
        people=None if options["people"] is None else Path(options["people"]),
    )


def _layout(options: Mapping[str, Any]) -> PredictionLayout | None:
    """The layout that is named; raises BadInput for other options that contradict it."""
    from fairfm_core.errors import BadInput
    from fairfm_core.evaluation.reading.layout import read_layout

    if options["layout"] is None:
        if options["people"] is not None:
            raise BadInput("--people goes with --layout, which says how its rows are joined")
        return None
    for name, default in SAID_BY_LAYOUTS.items():
        if options[name] != default:
            raise BadInput(f"--{name} is what --layout says; leave one of them out")
    return read_layout(options["layout"])


def _pair(option: str, text: str) -> tuple[str, str]:
    from fairfm_core.errors import BadInput

    name, sign, rest = (part.strip() for part in text.partition("="))
    if not (name and sign and rest):
        example = {"--column": "sex=Gender", "--bins": "bmi=18.5,25"}[option]
        raise BadInput(f"{option} {text!r}: give a name and what it stands for, as in {example}")
    return name, rest


def _bin(text: str) -> tuple[str, tuple[float, ...]]:
    from fairfm_core.errors import BadInput

    name, listed = _pair("--bins", text)
    try:
        return name, tuple(float(edge) for edge in listed.split(",") if edge.strip())
    except ValueError:
        raise BadInput(f"--bins {text!r}: edges are numbers, as in bmi=18.5,25") from None


def _delimiter(text: str | None) -> str | None:
    from fairfm_core.errors import BadInput

    known = {"tab": "\t", "\\t": "\t"}
    if text is None or len(character := known.get(text, text)) == 1:
        return text if text is None else character
    raise BadInput(f"--delimiter {text!r}: give one character, such as ';', or tab")
