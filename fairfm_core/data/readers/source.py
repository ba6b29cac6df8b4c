"""What a reader is asked for and what it returns: a cohort, its pixels, and notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.data.cohort_checks import UNCERTAIN_PREFIX
from fairfm_core.data.image_store.grey_levels import GreyRange, ReadingChoices
from fairfm_core.data.manifest import Resize
from fairfm_core.data.population.steps import dropped_notes, images_dropped
from fairfm_core.data.splits import FRACTIONS, STRATIFY, random_split
from fairfm_core.errors import BadInput

DEFAULT_SIZE = 224
MISSING = images_dropped("missing")
"""The note that counts rows of the table without an image file."""


class ReadOptions(Frozen):
    """The options of `fairfm data prepare`; None means that an option was not given."""

    size: int | None = Field(None, ge=16, le=2048)
    """Height and width of the stored images; by default 224, or a phantom world's own size."""
    resize: Resize = "square"
    """How images of other shapes become squares; see `manifest.Resize`."""
    grey_range: GreyRange = "auto"
    """Which values of deep image files are black and white; see `ReadingChoices`."""
    window: tuple[float, float] | None = None
    """Centre and width of a window for every DICOM file, instead of the file's own."""
    frames: Literal["one", "first"] = "one"
    """Whether the first frame stands for a file of several; otherwise such files are refused."""
    split_seed: int = Field(0, ge=0)
    fractions: tuple[float, float, float] = FRACTIONS
    """Shares of patients in train, val and test."""
    stratify: tuple[str, ...] | None = None
    """Attributes and pathologies whose shares are kept equal in random splits; by default sex and
    race."""
    split_list: str | None = None
    """A csv file with the split of each image; its columns depend on the data set."""
    random_split: bool = False
    """Draw the split at random although the data set has an official one."""
    demographics: str | None = None
    """CheXpert's demographics file, or the folder of MIMIC-IV's tables."""
    no_demographics: bool = False
    """Leave the race of every image null."""
    population: Literal["study", "frontal"] = "study"
    """`study`: White, Asian and Black patients, as Glocker 2022; `frontal`: every frontal image."""
    labeller: Literal["chexpert", "negbio"] = "chexpert"
    """The report labeller whose labels of MIMIC-CXR are read."""
    report_section: Literal["report", "findings", "impression"] = "report"
    """The part of a report from which CheXpert Plus's labels come."""
    agreement: Literal["majority", "any", "unanimous", "each"] = "majority"
    """What several readers of VinDr-CXR make one label; `unanimous` leaves the others uncertain,
    `each` gives every reader a label of their own."""
    allow_missing: int | None = Field(None, ge=0)
    """Maximum number of missing or unreadable images; they are dropped and counted."""
    effect: float | None = Field(None, ge=0)
    patients: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0)
    patches: int | None = Field(None, ge=1, le=1_000_000)
    """Number of patches cut from all photographs together; by default 2000."""

    @field_validator("window")
    @classmethod
    def _wide(cls, window: tuple[float, float] | None) -> tuple[float, float] | None:
        if window is not None and not window[1] > 0:
            raise BadInput(f"the width of a window must be above 0, not {window[1]:g}")
        return window

    @property
    def strata(self) -> tuple[str, ...]:
        """The attributes and pathologies within whose combinations patients are split."""
        return STRATIFY if self.stratify is None else self.stratify

    @property
    def reading(self) -> ReadingChoices:
        """How image files are read."""
        return ReadingChoices(
            resize=self.resize, grey_range=self.grey_range, window=self.window, frames=self.frames
        )


@dataclass(frozen=True)
class Source:
    """A data set as read from its source; its pixels come from `files` or from `draw`.

    Attributes:
        frame: the cohort, one row per image; without `split`, a random split is drawn.
        notes: counts of what was found and fixed or dropped, such as impossible ages.
        origin: what the data was made from, without any path; part of the request's identity.
        files: the image file of each row of `frame`, in its order.
        draw: for drawn images, a function from row numbers to uint8 images [n, size, size].
        size: height and width of drawn images; None where files are resized.
        interpolation: how pixels are made: resized, or drawn at this size.
    """

    frame: pd.DataFrame
    notes: Mapping[str, int]
    origin: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    draw: Callable[[NDArray[np.int64]], NDArray[np.uint8]] | None = None
    size: int | None = None
    interpolation: Literal["bicubic", "drawn"] = "bicubic"


def drawn_split(frame: pd.DataFrame, options: ReadOptions) -> pd.Series:
    """A random split of a cohort as the options ask for it, see `splits.random_split`."""
    return random_split(frame, options.split_seed, options.fractions, options.strata)


def source_of_files(
    frame: pd.DataFrame,
    files: Sequence[Path | None],
    notes: Mapping[str, int],
    origin: Mapping[str, Any],
) -> Source:
    """A source of image files; rows without a file are dropped and counted.

    The caller has checked that so many may be missing. A column u_<pathology> that marks none of
    the remaining rows is dropped too.
    """
    present = pd.Series([file is not None for file in files], index=frame.index)
    missing = dropped_notes("missing", frame["patient_id"], present)
    frame = frame[present].reset_index(drop=True)
    marks = [name for name in frame.columns if name.startswith(UNCERTAIN_PREFIX)]
    frame = frame.drop(columns=[name for name in marks if not frame[name].any()])
    return Source(
        frame=frame.assign(row=np.arange(len(frame))),
        notes={**notes, **missing},
        origin=origin,
        files=tuple(file for file in files if file is not None),
    )
