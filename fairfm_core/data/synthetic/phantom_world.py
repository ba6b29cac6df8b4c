"""Phantom worlds: synthetic cohorts of radiographs with known differences between groups, as data.

A world is fair (`effect: 0`) or has planted differences between groups whose size is known, so that
an estimate of a fairness gap can be compared with the truth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import read_yaml, validated
from fairfm_core.errors import BadInput, did_you_mean

GROUPS = {"sex": {"M": 0.59, "F": 0.41}, "race": {"White": 0.78, "Asian": 0.15, "Black": 0.07}}
"""Shares of patients by attribute: those of CheXpert, whose test set the paper uses."""
PREVALENCE = {
    "Atelectasis": 0.25,
    "Cardiomegaly": 0.25,
    "Consolidation": 0.22,
    "Edema": 0.28,
    "Pleural Effusion": 0.38,
}
CONTRAST = {
    "Atelectasis": 1.0,
    "Cardiomegaly": 1.0,
    "Consolidation": 1.0,
    "Edema": 1.0,
    "Pleural Effusion": 1.0,
}


class Planted(Frozen):
    """The differences of one group in a world of effect 1; other effects scale them."""

    contrast: float = Field(0.0, ge=-1)
    """Relative change of the contrast of every sign: -0.5 draws signs half as strong."""
    prevalence: float = 0.0
    """Shift of every pathology's log-odds."""
    noise: float = Field(0.0, ge=-1)
    """Relative change of the grain's standard deviation."""


UNFAIR = {
    "race": {"Black": Planted(contrast=-0.4, prevalence=0.3, noise=0.25)},
    "sex": {"F": Planted(contrast=-0.15, prevalence=-0.15, noise=0.1)},
}


class PhantomWorld(Frozen):
    """A synthetic cohort of chest radiographs with planted differences between groups."""

    patients: int = Field(600, ge=1)
    """One to five images each, two on average."""
    image_size: int = Field(64, ge=16, le=2048)
    """Height and width in pixels; the content of an image is the same at every size."""
    seed: int = Field(0, ge=0)
    """Random seed of patients and images; worlds of different seeds share no patient."""
    effect: float = Field(1.0, ge=0)
    """Scale of all planted differences; at 0, pixels and labels do not depend on any attribute."""
    shares: dict[str, dict[str, float]] = GROUPS
    """Attribute -> group -> share of patients; attributes that are not listed keep their default
    shares, and groups that are not listed have no patients."""
    planted: dict[str, dict[str, Planted]] = UNFAIR
    """Attribute -> group -> planted differences; groups that are not listed are the reference."""
    prevalence: dict[str, float] = PREVALENCE
    """Share of images with each pathology, without planted differences."""
    contrast: dict[str, float] = CONTRAST
    """Strength of each pathology's sign, relative to the default."""
    noise: float = Field(0.09, ge=0)
    """Standard deviation of the grain, where black is 0 and white is 1."""

    @field_validator("prevalence", "contrast", mode="before")
    @classmethod
    def _complete(cls, value: Any, info: Any) -> Any:
        """Pathologies that are not listed keep their default."""
        default = PREVALENCE if info.field_name == "prevalence" else CONTRAST
        if not isinstance(value, dict):
            return value
        for name in value.keys() - default.keys():
            raise ValueError(f"pathology {name!r} cannot be drawn{did_you_mean(name, default)}")
        return default | value

    @field_validator("prevalence")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        for name, share in value.items():
            if not 0 < share < 1:
                raise ValueError(f"prevalence of {name} must lie between 0 and 1, got {share}")
        return value

    @field_validator("planted", "shares")
    @classmethod
    def _known_groups(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for attribute, groups in value.items():
            if attribute not in GROUPS:
                raise ValueError(f"attribute {attribute!r} is unknown; known: {', '.join(GROUPS)}")
            for group in groups.keys() - GROUPS[attribute].keys():
                known = ", ".join(GROUPS[attribute])
                raise ValueError(f"{attribute} {group!r} is unknown; known: {known}")
        return value

    @field_validator("shares")
    @classmethod
    def _whole(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """All attributes, with groups in a fixed order, so that equal shares give equal worlds."""
        for attribute, shares in value.items():
            if min(shares.values(), default=0.0) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
                given = ", ".join(f"{group} {share:g}" for group, share in shares.items())
                raise ValueError(
                    f"shares of {attribute} ({given or 'none'}) must not be negative and must sum "
                    f"to 1; groups: {', '.join(GROUPS[attribute])}"
                )
        every = GROUPS | value
        return {
            attribute: {
                group: every[attribute][group] for group in usual if every[attribute].get(group)
            }
            for attribute, usual in GROUPS.items()
        }


WORLDS = {
    "unfair": PhantomWorld(),
    "fair": PhantomWorld(effect=0.0),
    # For pre-training: its patients differ from the other worlds', so none is tested on.
    "skewed": PhantomWorld(
        seed=100, shares={"race": {"White": 0.90, "Asian": 0.07, "Black": 0.03}}
    ),
}


def load_world(source: str | Path, **overrides: Any) -> PhantomWorld:
    """The world of that name or YAML file, with those `overrides` that are not None.

    Raises:
        BadInput: neither a known name nor a file, or a field that is unknown or out of range.
    """
    if str(source) in WORLDS:
        fields: Any = WORLDS[str(source)].content()
    elif Path(source).is_file():
        fields = read_yaml(Path(source))
    else:
        raise BadInput(
            f"phantom world {str(source)!r} is neither a name{did_you_mean(str(source), WORLDS)} "
            f"nor a YAML file; known worlds: {', '.join(WORLDS)}"
        )
    given = {name: value for name, value in overrides.items() if value is not None}
    return validated(PhantomWorld, {**fields, **given}, f"phantom world {source}")
