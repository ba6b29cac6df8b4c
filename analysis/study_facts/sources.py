"""What is published of the data sets that fairfm reads: where, how labelled, on what terms.

Each fact was compared with the publication or the distributor's page; what could not be confirmed
is left out. Of a user's own table nothing is known, and this says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSource:
    """A data set as its publication describes it."""

    title: str
    place: str
    """Hospitals and years, as far as they are published."""
    labels: str
    """How the labels were made."""
    mined: bool
    """Whether a program read them from reports, for training and test alike."""
    terms: str
    citation: str


STANFORD = "one hospital (Stanford Hospital, Palo Alto, 2002 to 2017)"
BY_PROGRAM = "by a program from the text of radiologists' reports"
SOURCES = {
    "chexpert": DataSource(
        "CheXpert",
        STANFORD,
        BY_PROGRAM,
        True,
        "Stanford's research use agreement; no redistribution",
        "Irvin et al., AAAI 2019",
    ),
    "chexpert-plus": DataSource(
        "CheXpert Plus",
        STANFORD,
        BY_PROGRAM,
        True,
        "Stanford's research use agreement; no redistribution",
        "Chambon et al., 2024, arXiv:2405.19538",
    ),
    "chestxray14": DataSource(
        "ChestX-ray14",
        "one hospital (NIH Clinical Center, Bethesda)",
        BY_PROGRAM,
        True,
        "unrestricted; link to it, cite it and acknowledge the NIH Clinical Center",
        "Wang et al., CVPR 2017",
    ),
    "mimic-cxr": DataSource(
        "MIMIC-CXR-JPG with MIMIC-IV",
        "one hospital (emergency department of Beth Israel Deaconess, Boston, 2011 to 2016)",
        BY_PROGRAM,
        True,
        "PhysioNet's credentialed data use agreement; no redistribution",
        "Johnson et al., Scientific Data 2019",
    ),
    "padchest": DataSource(
        "PadChest",
        "one hospital (San Juan, Alicante, 2009 to 2017)",
        "from the text of reports, 27 % of them by physicians and the others by a network",
        True,
        "PadChest's data set research use agreement",
        "Bustos et al., Medical Image Analysis 2020",
    ),
    "vindr-cxr": DataSource(
        "VinDr-CXR",
        "two hospitals in Hanoi (2018 to 2020)",
        "by radiologists who looked at the images: three each in training, a consensus of five in"
        " test",
        False,
        "PhysioNet's credentialed data use agreement; no redistribution",
        "Nguyen et al., Scientific Data 2022",
    ),
    "brax": DataSource(
        "BRAX",
        "one large general hospital in Brazil",
        BY_PROGRAM,
        True,
        "PhysioNet's credentialed data use agreement; no redistribution",
        "Reis et al., Scientific Data 2022",
    ),
    "phantom": DataSource(
        "phantom radiographs",
        "no hospital: images drawn by a program",
        "by the program that drew the images",
        False,
        "no terms: made by fairfm",
        "none",
    ),
}
"""By the kind that `fairfm data prepare` takes."""


def data_source(kind: str | None) -> DataSource | None:
    """What is published of a kind of data; None for a table of the user's, and where unknown."""
    return SOURCES.get(kind or "")
