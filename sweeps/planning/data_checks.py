"""Whether prepared data has what a study asks of it: labels, splits, patients and attributes."""

from __future__ import annotations

from fairfm_core.config.evaluation import GLOCKER_LABELS
from fairfm_core.config.methods.losses import GROUP_SETTING, GroupLossSettings
from fairfm_core.config.methods.samplings import SAMPLINGS
from fairfm_core.config.trial import Trial
from fairfm_core.data.balancing import sampled, training_groups
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.groups import TIMES
from fairfm_core.errors import BadInput, did_you_mean
from sweeps.planning.study import StudySpec


def asked_of_data(trial: Trial) -> str:
    """What `check_data` depends on, so that no two trials ask the same of a large cohort."""
    loss = trial.adaptation.loss
    return repr((trial.data, loss if isinstance(loss, GroupLossSettings) else None))


def check_data(trial: Trial, data: PreparedData, age_edges: tuple[float, ...]) -> None:
    """Raise BadInput for labels or splits that the data does not have, and for training patients
    that cannot be drawn or balanced as asked."""
    for label in trial.data.pathologies or ():
        if label not in data.pathologies:
            raise BadInput(
                f"pathology {label!r} is not in {data.place}"
                f"{did_you_mean(label, data.pathologies)}; it has {', '.join(data.pathologies)}"
            )
    for split in SPLITS:
        if not (data.frame["split"] == split).any():
            raise BadInput(
                f"{data.place} has no images in split {split!r}; prepare it with all splits"
            )
    asked, grouped = trial.data, isinstance(trial.adaptation.loss, GroupLossSettings)
    if not (SAMPLINGS[asked.sampling].by_group or grouped or asked.fraction < 1):
        return
    training = data.frame[data.frame["split"] == "train"]
    kept = sampled(asked.sampling, training, asked.balance, age_edges, trial.seed, asked.fraction)
    training = training.iloc[kept]
    if isinstance(trial.adaptation.loss, GroupLossSettings):
        attribute = trial.adaptation.loss.attribute
        training_groups(training, attribute, age_edges, GROUP_SETTING)


def check_glocker(trial: Trial, data: PreparedData) -> None:
    """Raise BadInput where a protocol draws by labels that are not predicted."""
    predicted = trial.data.pathologies or data.pathologies
    if missing := [label for label in GLOCKER_LABELS if label not in predicted]:
        raise BadInput(
            f"evaluation.protocols names 'glocker', which draws by {' and '.join(GLOCKER_LABELS)}, "
            f"but {missing[0]!r} is not predicted on {data.place}: use 'resample'"
        )


def check_attributes(study: StudySpec, data: PreparedData) -> None:
    """Raise BadInput for attributes of the evaluation that the data does not have."""
    settings = study.evaluation
    named = dict.fromkeys(settings.attributes, "evaluation.attributes names")
    named = dict.fromkeys(settings.weighed_by, "evaluation.protocols need") | named
    for whole, who in named.items():
        for attribute in (whole,) if whole in data.attributes else whole.split(TIMES):
            if attribute not in data.attributes:
                raise BadInput(
                    f"{who} {attribute!r}, which is not in {data.place}"
                    f"{did_you_mean(attribute, data.attributes)}; "
                    f"it has {', '.join(data.attributes)}"
                )
