"""Patient-disjoint splits: random, or read from a data set's official lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.data.cohort_checks import KEYS, LABEL_PREFIX, SPLITS
from fairfm_core.data.groups import AGE, binned
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.seeding import stream

FRACTIONS = (0.6, 0.1, 0.3)
STRATIFY = ("sex", "race")
LISTS = (*SPLITS, "train_val")
SPLIT_NAMES = {"train": "train", "validate": "val", "val": "val", "test": "test"}
"""Splits by their names in MIMIC-CXR's list and in split files like it."""


def random_split(
    frame: pd.DataFrame,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    stratify: Sequence[str] = STRATIFY,
) -> pd.Series:
    """A random split (train, val or test) of the rows of `frame`, on its index, by patient.

    Patients are split within strata of `stratify`: attributes and pathologies, of which sex and
    race may be absent. Ages are in the usual bins, and a patient has a pathology if one image shows
    it. The split of a patient depends on the seed and the set of patients, never on the order of
    rows.

    Raises:
        BadInput: `fractions` are not three shares (train, val, test) that sum to one, or an unknown
            name to stratify by.
    """
    check_fractions(fractions)
    strata = _strata(*_stratified(frame, stratify))
    assigned: dict[str, str] = {}
    for stratum, patients in strata.items():
        assigned |= _divide(patients, fractions, stream(seed, "split", stratum))
    return frame["patient_id"].map(assigned).astype("str").rename("split")


def listed_split(
    frame: pd.DataFrame,
    lists: Mapping[str, Iterable[str]],
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    stratify: Sequence[str] = STRATIFY,
) -> pd.Series:
    """The split of each row of `frame` by lists of image ids; null for images on no list.

    A list is named train, val, test or train_val. The patients of train_val are split at random, by
    `seed`, into train and val in the proportion of the first two `fractions`.

    Raises:
        BadInput: an unknown name of a list, an image on two lists, or no image on any list.
    """
    named = _list_of_images(lists)
    split = frame["image_id"].map(named).astype("str").rename("split")
    if split.isna().all():
        raise BadInput(
            f"none of the {len(frame)} images is on a split list: the cohort's ids look like "
            f"{frame['image_id'].iloc[0]!r}, the lists' like {next(iter(named), 'nothing')!r}"
        )
    undivided = split == "train_val"
    if undivided.any():
        train, val = fractions[0], fractions[1]
        shares = (train / (train + val), val / (train + val), 0.0)
        split[undivided] = random_split(frame[undivided], seed, shares, stratify)
    return split


def check_fractions(fractions: Sequence[float]) -> None:
    """Raises BadInput unless `fractions` are the shares of train, val and test."""
    good = len(fractions) == 3 and min(fractions) >= 0 and fractions[0] > 0
    if not good or abs(sum(fractions) - 1) > 1e-6:
        given = " ".join(f"{share:g}" for share in fractions)
        raise BadInput(
            f"fractions {given}: give the shares of train, val and test, none negative, the first "
            f"above 0, with a sum of 1, such as 0.6 0.1 0.3"
        )


def _stratified(frame: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The frame with a column of groups for each name that is not one yet, and their names."""
    columns: dict[str, pd.Series] = {}
    for name in (name for name in names if name in frame.columns or name not in STRATIFY):
        label = LABEL_PREFIX + name
        if label in frame.columns:
            positive = frame[label].groupby(frame["patient_id"]).transform("max")
            columns[name] = positive.map({1.0: "present", 0.0: "absent"})
        elif name == AGE and name in frame.columns:
            columns[name] = binned(frame[name], AGE_EDGES)
        elif name in frame.columns and name not in KEYS:
            columns[name] = frame[name]
        else:
            known = [column.removeprefix(LABEL_PREFIX) for column in frame.columns]
            known = [column for column in known if column not in KEYS]
            raise BadInput(
                f"--stratify: {name!r} is neither an attribute nor a pathology"
                f"{did_you_mean(name, known)}; known: {', '.join(known)}"
            )
    return frame.assign(**columns), list(columns)


def _strata(frame: pd.DataFrame, stratify: list[str]) -> dict[str, list[str]]:
    """The sorted patients of each combination of attribute values."""
    if not stratify:
        return {"": sorted(frame["patient_id"].unique())}
    patients = frame[["patient_id", *stratify]].astype("str").fillna("null").drop_duplicates()
    value = patients[stratify[0]].str.cat(patients[stratify[1:]], sep="|")
    # A patient with two values of an attribute (two races on record) is in the stratum of both.
    values = value.sort_values().groupby(patients["patient_id"]).agg("+".join)
    return {str(stratum): sorted(members.index) for stratum, members in values.groupby(values)}


def _divide(
    patients: list[str], fractions: Sequence[float], rng: np.random.Generator
) -> dict[str, str]:
    """Patients in random order, cut at the cumulative fractions.

    The random offset keeps the expected shares exact in strata too small to be cut evenly.
    """
    order = rng.permutation(len(patients))
    positions = (order + rng.random()) / len(patients)
    cuts = np.cumsum(np.asarray(fractions, dtype=np.float64))[:2]
    last = int(np.flatnonzero(fractions)[-1])  # rounding must not fill a split of share 0
    which = np.minimum(np.searchsorted(cuts, positions, side="right"), last)
    return {patient: SPLITS[i] for patient, i in zip(patients, which, strict=True)}


def _list_of_images(lists: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Image id -> the one list that it is on."""
    named: dict[str, str] = {}
    twice: list[str] = []
    for name, images in lists.items():
        if name not in LISTS:
            raise BadInput(
                f"split {name!r} is not known{did_you_mean(str(name), LISTS)}; allowed are "
                f"{', '.join(LISTS)}"
            )
        images = set(images)
        twice += sorted(images & named.keys())
        named |= dict.fromkeys(images, name)
    if twice:
        raise BadInput(f"{len(twice)} image(s) are on two split lists: {first_ten(twice)}")
    return named
