"""The attributes of every source, cleaned in the same way, and what was changed."""

from __future__ import annotations

from dataclasses import replace

from fairfm_core.data.attribute_values import cleaned_attributes
from fairfm_core.data.cohort_checks import KEYS, LABEL_PREFIX, UNCERTAIN_PREFIX
from fairfm_core.data.readers.source import Source


def cleaned_source(data: Source) -> Source:
    """The source with its attributes in text cleaned; its notes count the changed values."""
    names = [
        name
        for name in data.frame.columns
        if name not in KEYS and not str(name).startswith((LABEL_PREFIX, UNCERTAIN_PREFIX))
    ]
    frame, changed = cleaned_attributes(data.frame, names)
    return replace(data, frame=frame, notes={**data.notes, **changed}) if changed else data
