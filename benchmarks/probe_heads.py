"""Linear probes of 20 settings on 76,205 x 768 features and 14 labels: one pass against 20 loops.

Three sides, the same batches, rates and weights to start from: a loop over modules, autograd and
AdamW of torch, as one would write it, of which the steps alone count; this program's pass with one
head at a time; its pass with all heads, of which everything counts, validation too. The last
validation AUCs of all heads are equal to 1e-6.

CPU seconds of one thread, float32. The sides take turns, a round trains every head for some epochs
on each, and the median round counts; the 90 epochs of MAE's recipe are extrapolated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional as F

from benchmarks.cohorts import PREVALENCE, Array
from benchmarks.sizes import sized
from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.seeding import stream
from fairfm_core.training.batches import batch_count, epoch_order, index_batches
from fairfm_core.training.optim import cosine_schedule
from fairfm_core.training.probing.heads import initial_weight
from fairfm_core.training.probing.train import ProbeFeatures, ProbeTask, train_probes

TRAIN, VAL, WIDTH = sized(76_205, 4_000), sized(12_673, 2_000), 768
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
DECAYS = (0.0, 1e-3, 1e-2, 1e-1)
EPOCHS, ALL_EPOCHS = 3, 90
ROUNDS = sized(3, 1)
GOAL_RATIO = 4.0
SIGNAL = 0.05
"""Weight of a feature in a label: AUCs of about 0.8 are within reach."""
SEED = 0
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Probing:
    """Features, labels and the heads to train."""

    features: ProbeFeatures
    tasks: list[ProbeTask]


def bench_probe_heads() -> bool:
    """Print the seconds of an epoch of all heads on each side; whether the ratio meets its goal."""
    probing, rounds = _probing(), []
    with _one_thread():
        _pass(probing, probing.tasks[:1])  # compiles
        for _ in range(ROUNDS):
            rounds.append(_round(probing))
    steps, scoring, alone, together = np.median(np.array(rounds), axis=0) / EPOCHS
    ratios = [sides[0] / sides[-1] for sides in rounds]
    print(f"linear probes, {len(probing.tasks)} heads, {TRAIN:,} x {WIDTH} features, 14 labels,")
    print("CPU seconds of one thread for an epoch of all heads:")
    _print_line("torch's modules and AdamW, one by one", steps, "validation left out")
    _print_line("  its validation with roc_auc_score", scoring)
    _print_line("fairfm, one by one", alone, f"ratio {alone / together:.1f}")
    note = f"ratio {steps / together:.1f} [{min(ratios):.1f} to {max(ratios):.1f}]"
    _print_line("fairfm, all in one pass", together, note)
    whole = together * ALL_EPOCHS
    print(f"  {ALL_EPOCHS} epochs in {whole:.0f} s, extrapolated from {EPOCHS}", end=" ")
    print(f"(goal: ratio {GOAL_RATIO:g}; AUCs equal to 1e-6)")
    return bool(steps / together >= GOAL_RATIO)


def _round(probing: Probing) -> tuple[float, float, float, float]:
    """CPU seconds of torch's steps, its validation, our heads one by one, our heads together."""
    loops = [_torch_loop(probing.features, task) for task in probing.tasks]
    began = time.process_time()
    alone = [_pass(probing, [task])[0] for task in probing.tasks]
    turned = time.process_time()
    together = _pass(probing, probing.tasks)
    ended = time.process_time()
    np.testing.assert_allclose(together, [loop[0] for loop in loops], rtol=0, atol=1e-6)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    steps, scoring = np.sum([loop[1:] for loop in loops], axis=0)
    return steps, scoring, turned - began, ended - turned


def _pass(probing: Probing, tasks: list[ProbeTask]) -> list[float]:
    """The last validation AUC of each head."""
    return [probe.history[-1]["val_auc"] for probe in train_probes(tasks, probing.features, CPU)]


def _torch_loop(features: ProbeFeatures, task: ProbeTask) -> tuple[float, float, float]:
    """One head by torch: its last validation AUC, seconds of its steps and of its validation."""
    recipe, spent = task.recipe, np.zeros(2)
    x_ND, y_NP = (
        torch.from_numpy(features.train_VND[0]),
        torch.from_numpy(task.labels_train_NP).float(),
    )
    linear = nn.Linear(WIDTH, len(PREVALENCE))
    linear.weight.data, linear.bias.data = (
        initial_weight(WIDTH, len(PREVALENCE), task.seed),
        torch.zeros(len(PREVALENCE)),
    )
    head = nn.Sequential(nn.BatchNorm1d(WIDTH, affine=False, eps=1e-6), linear)
    optimizer = torch.optim.AdamW(head.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    schedule = cosine_schedule(
        optimizer,
        epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        steps_per_epoch=batch_count(len(x_ND), recipe.batch_size),
        min_lr=0.0,
    )
    step, value = 0, float("nan")
    for epoch in range(recipe.epochs):
        began = time.process_time()
        head.train()
        for index in index_batches(epoch_order(len(x_ND), task.seed, epoch), recipe.batch_size):
            index_B = torch.from_numpy(index)
            schedule.step_update(step)  # the first step of a warm-up has a rate of 0
            step += 1
            loss = F.binary_cross_entropy_with_logits(head(x_ND[index_B]), y_NP[index_B])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        turned = time.process_time()
        value = _score(head, features.val_ND, task.labels_val_NP)
        spent += turned - began, time.process_time() - turned
    return value, *spent


@torch.inference_mode()
def _score(head: nn.Module, x_ND: Array, label_NP: Array) -> float:
    head.eval()
    score_NP = head(torch.from_numpy(x_ND)).sigmoid().numpy()
    return float(
        np.mean([roc_auc_score(y, s) for y, s in zip(label_NP.T, score_NP.T, strict=True)])
    )


def _probing() -> Probing:
    random = stream(SEED, "probe heads")
    weight_DP = SIGNAL * random.standard_normal((WIDTH, len(PREVALENCE)), dtype=np.float32)
    x_ND = random.standard_normal((TRAIN + VAL, WIDTH), dtype=np.float32)
    noise_NP = random.standard_normal((TRAIN + VAL, len(PREVALENCE)), dtype=np.float32)
    signal_NP = x_ND @ weight_DP + noise_NP
    threshold_P = ndtri([*PREVALENCE.values()]) * signal_NP.std(axis=0)
    label_NP = (signal_NP < threshold_P).astype(np.float64)
    settings = [(rate, decay) for rate in RATES for decay in DECAYS]
    tasks = [
        ProbeTask(_recipe(rate, decay), SEED, np.arange(TRAIN), label_NP[:TRAIN], label_NP[TRAIN:])
        for rate, decay in settings
    ]
    return Probing(ProbeFeatures(x_ND[None, :TRAIN], x_ND[TRAIN:]), tasks)


def _recipe(rate: float, decay: float) -> LinearProbe:
    return LinearProbe(
        method="linear_probe", epochs=EPOCHS, warmup_epochs=1, lr=rate, weight_decay=decay
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def _print_line(who: str, seconds: float, note: str = "") -> None:
    print(f"  {who:40s} {seconds:7.3f}  {note}")
