"""What all trials of a study have in common unless an axis or a trial says otherwise.

How a network sees its images and how long it trains belong to the comparison, not to the weights.
The zoo and the recipe `paper` suggest values that depend on the weights; here they are made equal,
in the raw values of the trials, before these are validated. What a study writes itself, in `base`,
an axis or an included trial, is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationError

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import AnyNormalisation, Backbone, CropShare, Interpolation
from fairfm_core.config.frozen import Frozen, Precision, Values
from fairfm_core.config.named_records import known_name
from fairfm_core.config.recipes import PAPER
from fairfm_core.config.resolving import resolve_trial
from fairfm_core.config.yaml_input import validated
from fairfm_core.config.zoo import MODELS
from fairfm_core.errors import BadInput

Cell = tuple[dict[str, str], Values]
"""Labels by axis, and the raw values of a trial."""
BUDGETS = ("equal", "by_model")


def _known_budget(name: Any) -> str:
    return known_name(name, BUDGETS, "budget")


Budget = Annotated[Literal["equal", "by_model"], BeforeValidator(_known_budget)]
"""Whether trials train alike, or as the paper trains each model."""
ADAPTATION, BACKBONE, IMAGES = "adaptation", "backbone", "images"
PRECISION = "precision"
AUTO: Precision = "auto"
"""By device, as `training/device.py` says."""
BACKBONE_KEYS = {
    "crop": "crop_pct",
    "normalisation": "normalisation",
    "interpolation": "interpolation",
}
"""The key of a trial's backbone for each field of `StudyImages`."""
RECORDS: dict[str, type[Frozen]] = {BACKBONE: Backbone, ADAPTATION: EndToEnd}
"""The records that hold defaults; recipes of a linear probe suggest nothing by the weights."""


class StudyImages(Frozen):
    """How all trials of a study see their images, unless an axis or a trial says otherwise.

    A field may be an axis (`images.crop`), and an included trial may have `images` of its own.
    """

    crop: CropShare | None = None
    """Side of the centre crop in evaluation, as a share of the stored side. By default 0.875 if any
    trial names a model of the zoo, else 1, the whole image."""
    normalisation: AnyNormalisation | None = None
    """`cxr`, `imagenet`, `half`, or numbers on the scale 0 to 1: `{mean: 0.53, std: 0.23}`. By
    default that of the zoo's models of the same network, else `cxr`."""
    interpolation: Interpolation | None = None
    """`bicubic` (default) or `bilinear`, always antialiased."""

    def of_backbone(self) -> Values:
        """The values that are set, by the key of the backbone that holds them."""
        given = self.model_dump(mode="json", exclude_none=True)
        return {BACKBONE_KEYS[name]: value for name, value in given.items()}


@dataclass(frozen=True)
class Settled:
    """The cells of a study with the shared values filled in."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    """What was made equal, and where the paper differs, one line each."""


def check_base(base: Values, images: StudyImages) -> None:
    """Raises BadInput for a study whose base contradicts its images."""
    if IMAGES in base:
        raise BadInput("images cannot be under base: write `images` beside `base`")
    below = _section(base, BACKBONE)
    named = {field: below[key] for field, key in BACKBONE_KEYS.items() if key in below}
    try:
        written = StudyImages.model_validate(named).of_backbone()
    except ValidationError:  # which every trial raises again, with its name
        return
    for key, value in images.of_backbone().items():
        if written.get(key, value) != value:
            raise BadInput(
                f"base.backbone.{key} is {written[key]!r} and images says {value!r}; leave one out"
            )


def settle(
    cells: Sequence[Cell],
    images: StudyImages,
    budget: Budget = "equal",
    precision: Precision = AUTO,
) -> Settled:
    """The cells with equal images, budget and precision, except where one writes its own.

    Raises BadInput for invalid `images` of a cell. Other invalid values are left for validation.
    """
    settled = [
        (axes, _with_precision(_with_images(values, images), precision)) for axes, values in cells
    ]
    notes = [] if precision == AUTO else [f"precision {precision} for all networks"]
    for setting in SETTINGS:
        for scope in _scopes(settled, setting):
            if setting.section == ADAPTATION and budget == "by_model":
                notes += scope.paper_notes("as here (budget: by_model)")
                continue
            for number in scope.changed:
                axes, values = settled[number]
                settled[number] = axes, _with(values, setting.section, setting.key, scope.chosen)
            notes += scope.notes
    return Settled(tuple(settled), tuple(dict.fromkeys(notes)))


@dataclass(frozen=True)
class Suggestion:
    """A trial as far as the zoo and its recipe complete it."""

    resolved: Values
    written: Values
    """The raw values."""

    def value(self, setting: Setting) -> Any:
        """The suggested value; None without one."""
        return _section(self.resolved, setting.section).get(setting.key)

    @property
    def network(self) -> str:
        """The backbone's name in timm."""
        return str(_section(self.resolved, BACKBONE).get("name"))

    @property
    def training(self) -> tuple[str, str]:
        """Method and recipe."""
        raw = _section(self.written, ADAPTATION)
        return str(raw.get("method")), str(raw.get("recipe", PAPER))


@dataclass(frozen=True)
class Setting:
    """A value that the zoo or a recipe may suggest by the weights."""

    section: str
    key: str
    text: str
    """What is said of trials that share the value; `{value}` and `{network}` are filled in."""
    shared_by: Callable[[Suggestion], tuple[str, ...]]
    """Trials with the same result share the value."""
    largest: bool = False
    """Whether the largest of several suggestions is taken; otherwise each trial keeps its own."""
    paper: dict[str, str] | None = None
    """How the paper's values differ, by network."""

    @property
    def default(self) -> Any:
        """The value of a trial without a suggestion."""
        return RECORDS[self.section].model_fields[self.key].default


@dataclass(frozen=True)
class Scope:
    """Trials that share a setting and do not write it themselves."""

    setting: Setting
    network: str
    values: dict[int, Any]
    """The suggestion of each trial by its number; None without one."""

    @property
    def chosen(self) -> Any:
        """The value of all of them; None if each keeps its own."""
        suggested = {value for value in self.values.values() if value is not None}
        if len(suggested) > 1:
            return max(suggested) if self.setting.largest else None
        return next(iter(suggested), None)

    @property
    def changed(self) -> list[int]:
        """Numbers of the trials whose value is not yet the chosen one."""
        chosen = self.chosen  # looks at all trials: once, not for each of them
        if chosen is None:
            return []
        return [number for number, value in self.present.items() if value != chosen]

    @property
    def present(self) -> dict[int, Any]:
        """The value that each trial would have on its own."""
        default = self.setting.default
        return {number: default if v is None else v for number, v in self.values.items()}

    @property
    def notes(self) -> list[str]:
        """One line if a trial's value was changed, and one if the paper's differ."""
        if not self.changed:
            return []
        text = self.setting.text.format(value=self.chosen, network=self.network)
        return [text, *self.paper_notes("here not (budget: by_model does as the paper)")]

    def paper_notes(self, here: str) -> list[str]:
        """How the paper's values differ, if the suggestions do; `here` says what is done here."""
        paper = (self.setting.paper or {}).get(self.network)
        return [f"{paper}; {here}"] if paper and len(set(self.present.values())) > 1 else []


def _papers_epochs() -> dict[str, str]:
    """How the epochs of section 3.2 depend on the pre-training, by network."""
    networks: dict[str, dict[str, int]] = {}
    for model in MODELS:
        if model.epochs is not None and model.domain != "none":
            networks.setdefault(model.backbone, {})[model.domain] = model.epochs
    return {
        network: f"the paper trains {network} for "
        + " and ".join(f"{epochs} epochs from {domain} images" for domain, epochs in by.items())
        + " (section 3.2)"
        for network, by in networks.items()
    }


def _everything(trial: Suggestion) -> tuple[str, ...]:
    return ()


def _network(trial: Suggestion) -> tuple[str, ...]:
    return (trial.network,)


def _training(trial: Suggestion) -> tuple[str, ...]:
    return (trial.network, *trial.training)


SETTINGS = (
    Setting(
        BACKBONE,
        "crop_pct",
        "centre crop {value} in evaluation for all trials, as for models of the zoo",
        _everything,
        largest=True,
    ),
    Setting(
        BACKBONE,
        "normalisation",
        "normalisation {value} for all trials of {network}, as for the zoo's models",
        _network,
    ),
    Setting(
        ADAPTATION,
        "epochs",
        "{value} epochs for all trials of {network} with one recipe",
        _training,
        largest=True,
        paper=_papers_epochs(),
    ),
    Setting(
        ADAPTATION,
        "batch_size",
        "batch {value} for all trials of {network} with one recipe",
        _training,
        largest=True,
    ),
)
"""What is made equal."""


def _scopes(cells: Sequence[Cell], setting: Setting) -> list[Scope]:
    """The groups of cells that share a setting."""
    groups: dict[tuple[str, ...], dict[int, Suggestion]] = {}
    for number, trial in _suggestions(cells, setting):
        groups.setdefault(setting.shared_by(trial), {})[number] = trial
    return [
        Scope(
            setting,
            next(iter(trials.values())).network,
            {number: trial.value(setting) for number, trial in trials.items()},
        )
        for trials in groups.values()
    ]


def _suggestions(cells: Sequence[Cell], setting: Setting) -> Iterator[tuple[int, Suggestion]]:
    """The cells that do not write the setting themselves, by number; without invalid ones."""
    for number, (_, values) in enumerate(cells):
        if setting.key in _section(values, setting.section):
            continue
        if not isinstance(values.get(setting.section, {}), dict):
            continue
        try:
            resolved = resolve_trial(values)
        except BadInput:  # which validation raises again, with the trial's name
            continue
        yield number, Suggestion(resolved, values)


def _with_images(values: Values, images: StudyImages) -> Values:
    """Raw values with the images of the study, or the trial's own, under `backbone`."""
    rest = {key: value for key, value in values.items() if key != IMAGES}
    own = validated(StudyImages, values.get(IMAGES, {}), IMAGES).of_backbone()
    for key, value in (images.of_backbone() | own).items():
        if key in own or key not in _section(rest, BACKBONE):
            rest = _with(rest, BACKBONE, key, value)
    return rest


def _with_precision(values: Values, precision: Precision) -> Values:
    """Raw values with the study's precision, unless they write their own."""
    if precision == AUTO or PRECISION in _section(values, ADAPTATION):
        return values
    return _with(values, ADAPTATION, PRECISION, precision)


def _with(values: Values, section: str, key: str, value: Any) -> Values:
    """The values with one key of a section set; unchanged if the section is no mapping."""
    if not isinstance(values.get(section, {}), dict):
        return values
    return {**values, section: {**_section(values, section), key: value}}


def _section(values: Values, section: str) -> Values:
    found = values.get(section)
    return found if isinstance(found, dict) else {}
