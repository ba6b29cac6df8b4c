"""Settles the uncertain labels of a cohort after a trial's label policies."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fairfm_core.data.cohort_checks import LABEL_PREFIX, UNCERTAIN_PREFIX

MEANING = {"u_zeros": 0.0, "u_ones": 1.0}


def settled(frame: pd.DataFrame, policies: Mapping[str, str]) -> pd.DataFrame:
    """`frame` with every uncertain label 0, 1 or null, after the policy of its pathology.

    Pathologies that `policies` leaves out have `u_zeros`. Labels that are null without a mark of
    uncertainty stay null.
    """
    columns = {}
    for mark in (name for name in frame.columns if name.startswith(UNCERTAIN_PREFIX)):
        pathology = mark.removeprefix(UNCERTAIN_PREFIX)
        meaning = MEANING.get(policies.get(pathology, "u_zeros"))
        if meaning is not None:
            label = frame[LABEL_PREFIX + pathology]
            columns[LABEL_PREFIX + pathology] = label.mask(frame[mark] == 1, meaning)
    return frame.assign(**columns)
