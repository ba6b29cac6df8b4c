"""The kinds of data sets that `fairfm data prepare` reads.

A new kind is one file in readers/ (or synthetic/), with a function from `source` and `ReadOptions`
to a `Source`, and one record in `KINDS`. Help texts and checks follow from the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.named_records import imported
from fairfm_core.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from fairfm_core.data.readers.source import ReadOptions, Source

COMMON_OPTIONS = frozenset({"size", "split_seed", "fractions", "stratify"})
FILES = frozenset({"allow_missing", "resize", "grey_range", "window", "frames"})
LISTED = FILES | {"split_list"}
RACE = frozenset({"demographics", "no_demographics", "population"})


@dataclass(frozen=True)
class Kind:
    """One kind of data set.

    Attributes:
        reader: module and function that read it; imported on use, so that help needs no pandas.
        source: what the source is, for the help text.
        options: fields of `ReadOptions` that it takes besides the common ones.
        distinct: from the origin in a manifest to what distinguishes sources of this kind; a public
            data set is one source, whatever its files.
        any_patients: whether it may hold the patients of any other data set.
        patients_of: the kind whose patients it has under the same ids; its own if empty.
    """

    reader: str
    source: str
    options: frozenset[str]
    distinct: Callable[[Mapping[str, Any]], str] = lambda origin: ""
    any_patients: bool = False
    patients_of: str = ""


KINDS = {
    "chexpert": Kind(
        "fairfm_core.data.readers.chexpert:read_chexpert",
        "folder of CheXpert, or one of its tables",
        LISTED | RACE,
    ),
    "chestxray14": Kind(
        "fairfm_core.data.readers.chestxray14:read_chestxray14",
        "folder of NIH's ChestX-ray14, or its table",
        LISTED | {"random_split"},
    ),
    "mimic-cxr": Kind(
        "fairfm_core.data.readers.mimic_cxr:read_mimic_cxr",
        "folder of MIMIC-CXR-JPG",
        LISTED | RACE | {"random_split", "labeller"},
    ),
    "chexpert-plus": Kind(
        "fairfm_core.data.readers.chexpert_plus:read_chexpert_plus",
        "folder of CheXpert Plus, or its table",
        FILES | {"population", "report_section"},
        patients_of="chexpert",
    ),
    "padchest": Kind(
        "fairfm_core.data.readers.padchest:read_padchest",
        "folder of PadChest, or its table",
        FILES,
    ),
    "vindr-cxr": Kind(
        "fairfm_core.data.readers.vindr_cxr:read_vindr_cxr",
        "folder of VinDr-CXR",
        FILES | {"random_split", "agreement"},
    ),
    "brax": Kind(
        "fairfm_core.data.readers.brax:read_brax",
        "folder of BRAX, or its table",
        FILES,
    ),
    "table": Kind(
        "fairfm_core.data.readers.described.table:read_described_table",
        "YAML file that describes any table of images",
        FILES,
        distinct=lambda origin: str(origin["table_sha256"]),
        any_patients=True,
    ),
    "phantom": Kind(
        "fairfm_core.data.synthetic.phantom:read_phantom",
        "name of a phantom world (unfair, fair, skewed), or YAML file of its fields",
        frozenset({"effect", "patients", "seed"}),
        distinct=lambda origin: str(origin["world"]["seed"]),
    ),
    "photographs": Kind(
        "fairfm_core.data.synthetic.photographs:read_photographs",
        "folder of photographs, or the word sklearn for the two of scikit-learn",
        frozenset({"patches", "seed"}),
        distinct=lambda origin: fingerprint(sorted(origin["photographs"].values())),
    ),
}


def read_kind(kind: str, source: str, options: ReadOptions) -> Source:
    """Reads a data set of a known kind; no patient is in two splits.

    Raises:
        BadInput: an unknown kind, an option that this kind does not take, or as the reader.
    """
    from fairfm_core.data.cohort_checks import check_leakage
    from fairfm_core.data.preparation.cleaning import cleaned_source

    if kind not in KINDS:
        raise BadInput(
            f"data set kind {kind!r} is not known{did_you_mean(kind, KINDS)}; "
            f"known: {', '.join(KINDS)}"
        )
    known = COMMON_OPTIONS | KINDS[kind].options
    for name in sorted(options.content().keys() - known):
        raise BadInput(
            f"{kind} has no option {option_name(name)}; it has "
            f"{', '.join(map(option_name, sorted(known)))}"
        )
    if options.random_split and options.split_list is not None:
        raise BadInput("--random-split and --split-list cannot be combined; give one of them")
    data = cleaned_source(_read(kind, source, options))
    if "split" in data.frame.columns:
        check_leakage(data.frame)
    return data


def option_name(field: str) -> str:
    """The option of `fairfm data prepare` that sets a field of `ReadOptions`: `--allow-missing`."""
    return f"--{field.replace('_', '-')}"


def _read(kind: str, source: str, options: ReadOptions) -> Source:
    """What the reader returns; raises BadInput for values that it does not understand."""
    try:
        data: Source = imported(KINDS[kind].reader)(source, options)
    except BadInput:
        raise
    except (ValueError, KeyError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise BadInput(
            f"{kind} cannot be read from {source}: {reason}; SOURCE is: {KINDS[kind].source}"
        ) from error
    return data
