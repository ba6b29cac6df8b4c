"""Labels that a report labeller assigned: present, absent, uncertain or not mentioned.

CheXpert and MIMIC-CXR write them as 1, 0, -1 and blank. In a cohort a finding that is not mentioned
counts as absent (0), which is the convention of the field. An uncertain one has a null label and
`u_<pathology>` 1; the trial decides how it is treated (`data.labels`).
"""

from __future__ import annotations

import pandas as pd

from fairfm_core.data.cohort_checks import LABEL_PREFIX, UNCERTAIN_PREFIX
from fairfm_core.errors import BadInput, first_ten

LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The 14 labels in the order of CheXpert's table."""
SPELLINGS = {label: (label,) for label in LABELS} | {
    "Lung Opacity": ("Lung Opacity", "Airspace Opacity")
}


def label_columns(mentions: pd.DataFrame, what: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Columns y_<label>, columns u_<label> for labels with uncertain mentions, and notes.

    Args:
        mentions: text columns named by label, with 1, 0, -1 or null.
        what: the table's name and file, for error messages.
    """
    columns: dict[str, pd.Series] = {}
    uncertain: dict[str, pd.Series] = {}
    for label in mentions.columns:
        value = pd.to_numeric(mentions[label], errors="coerce")
        wrong = mentions[label].notna() & ~value.isin([1, 0, -1])
        if wrong.any():
            raise BadInput(
                f"{what}: {label} holds {first_ten(mentions.loc[wrong, label].unique())}; allowed "
                f"are 1, 0, -1 (uncertain) and blank"
            )
        columns[LABEL_PREFIX + label] = value.fillna(0.0).astype("float64").mask(value == -1)
        if (value == -1).any():
            uncertain[UNCERTAIN_PREFIX + label] = (value == -1).astype("float64")
    return pd.DataFrame(columns | uncertain), {
        "labels not mentioned in a report, taken as absent": int(mentions.isna().sum().sum()),
        "labels uncertain, left to the trial's policy": int(
            sum(u.sum() for u in uncertain.values())
        ),
    }
