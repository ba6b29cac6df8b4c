"""Every network of a study is built once before anything is trained, without allocating memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fairfm_core.config.adaptation import without_schedule
from fairfm_core.config.trial import Trial
from sweeps.status.network_questions import Question, answered_by_fairfm
from sweeps.status.networks import Network, count_network, memory_question


def check_networks(trials: Sequence[Trial]) -> None:
    """Build each distinct network, without allocating memory.

    Raises BadInput for one that cannot be built, or that its pre-trained weights do not fill: it
    would be trained from random ones.
    """
    for question in check_questions(trials):
        question.answer()


def count_parameters(trials: Sequence[Trial]) -> tuple[Network, ...]:
    """Parameters and memory of each distinct network; raises BadInput as `check_networks` does."""
    check_networks(trials)
    return tuple(dict.fromkeys(count_network(trial) for trial in _distinct(trials)))


def check_questions(trials: Sequence[Trial]) -> list[Question]:
    """Whether each distinct network, pre-training and file of weights can be used."""
    trials = _distinct(trials)
    networks = (_network_question(trial) for trial in trials)
    pretrainings = (each for trial in trials for each in _pretraining_question(trial))
    weights = (each for trial in trials for each in _weights_question(trial))
    return [*_once(networks), *_once(pretrainings), *_once(weights)]


def memory_questions(trials: Sequence[Trial]) -> list[Question]:
    """How much memory each distinct network takes."""
    return _once(memory_question(trial) for trial in _distinct(trials))


def _network_question(trial: Trial) -> Question:
    work = "fairfm_core.models.backbones:check_network"
    return Question(work, (trial.backbone, without_schedule(trial.adaptation)))


def _pretraining_question(trial: Trial) -> Iterator[Question]:
    if trial.pretraining is not None:
        work = "fairfm_core.training.pretraining.method:check_pretraining"
        ours = answered_by_fairfm(trial.pretraining)
        yield Question(work, (trial.pretraining, trial.backbone), kept=ours)


def _weights_question(trial: Trial) -> Iterator[Question]:
    if trial.weights is not None:
        work = "fairfm_core.models.checkpoints.stage:check_weights"
        settings = (trial.adaptation.method, trial.adaptation.pool)
        yield Question(work, (trial.weights, trial.backbone, *settings), trial.weights.file)


def _once(questions: Iterable[Question]) -> list[Question]:
    return list({question.key: question for question in questions}.values())


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """One trial for each network with its start: of a large study most differ in seed or rate."""
    shared = {tuple(map(id, _parts(trial))): trial for trial in trials}
    return list({_network_key(trial): trial for trial in reversed(shared.values())}.values())[::-1]


def _parts(trial: Trial) -> tuple[object, ...]:
    """What decides on a trial's network; trials that differ in their seeds share these objects."""
    start = trial.weights, trial.pretraining
    return trial.adaptation, trial.backbone, *start, trial.data.pathologies


def _network_key(trial: Trial) -> str:
    return repr((without_schedule(trial.adaptation), *_parts(trial)[1:]))
