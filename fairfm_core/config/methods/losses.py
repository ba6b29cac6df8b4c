"""The losses of an adaptation that a study may name: settings and one record each.

To add one, write its function in training/losses.py and its settings and record here; validation,
planning and both adaptations find it by its name.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fairfm_core.config.frozen import Frozen, one_or_several
from fairfm_core.config.named_records import known_name, tag
from fairfm_core.errors import BadInput


class LossSettings(Frozen):
    """A loss and its parameters; base class of each loss's settings."""

    name: str


class CrossEntropySettings(LossSettings):
    """Binary cross-entropy, the mean over the batch's known labels."""

    name: Literal["bce"]
    """The default."""


class FocalSettings(LossSettings):
    """Focal loss (Lin et al. 2017): cross-entropy times (1 - probability of the label)^gamma."""

    name: Literal["focal"]
    """For end-to-end fine-tuning only."""
    gamma: float = Field(1.0, ge=0)
    """0 is cross-entropy; 1 is the default of MEDFAIR and SubpopBench."""


GROUP_SETTING = "adaptation.loss.attribute"
"""The key of a study that names the attribute of a loss that needs groups."""


class GroupLossSettings(LossSettings):
    """A loss that needs the group of each image; base class of such losses' settings."""

    attribute: Annotated[str | tuple[str, ...], AfterValidator(one_or_several)] = "race"
    """Attribute whose groups are used; with several, every combination of their groups."""


class GroupReweightingSettings(GroupLossSettings):
    """Cross-entropy, each image weighted inversely to the size of its group.

    For each pathology, every group has the same total weight over the training images with a known
    label. Images of unknown group have weight 0, just as balanced sampling leaves them out.
    """

    name: Literal["reweighted"]
    """For both adaptations."""


@dataclass(frozen=True)
class LossRecord:
    """A loss that a recipe may name."""

    settings: type[LossSettings]
    """Its parameters; a subclass of `GroupLossSettings` if it needs the groups of images."""
    work: str
    """`(settings, targets_NP, groups_N) -> training.losses.Loss`, for the targets and groups of the
    training images."""
    only_weights: bool = False
    """Whether it differs from cross-entropy only in how it weights images. Linear probes, which
    have the gradient of cross-entropy written out, accept no other loss."""

    @property
    def name(self) -> str:
        """What a study calls it."""
        return tag(self.settings, "name")


LOSSES: dict[str, LossRecord] = {
    record.name: record
    for record in (
        LossRecord(
            CrossEntropySettings, "fairfm_core.training.losses:cross_entropy", only_weights=True
        ),
        LossRecord(FocalSettings, "fairfm_core.training.losses:focal"),
        LossRecord(
            GroupReweightingSettings,
            "fairfm_core.training.losses:group_reweighting",
            only_weights=True,
        ),
    )
}


def _named_loss(given: Any) -> Any:
    """`focal` stands for `{name: focal}`; raises BadInput for an unknown name."""
    values = {"name": given} if isinstance(given, str) else given
    if isinstance(values, LossSettings):
        return values
    if not isinstance(values, Mapping) or "name" not in values:
        raise BadInput(
            f"a loss is a name ({', '.join(LOSSES)}) or a mapping with `name` and the loss's "
            f"settings, not {given!r}"
        )
    known_name(values["name"], LOSSES, "loss")
    return values


if TYPE_CHECKING:
    AnyLoss = LossSettings
else:
    AnyLoss = Annotated[
        typing.Union[tuple(record.settings for record in LOSSES.values())],  # noqa: UP007
        Field(discriminator="name"),
        BeforeValidator(_named_loss),
    ]
    """The settings of whichever loss the values name."""

CROSS_ENTROPY: LossSettings = CrossEntropySettings(name="bce")
