"""Heads trained together equal heads trained one by one with torch's own parts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from timm.optim import Lars
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.seeding import stream_seed
from fairfm_core.training.batches import batch_count, epoch_order, index_batches
from fairfm_core.training.finetuning.fitting import mean_auc
from fairfm_core.training.optim import cosine_schedule
from fairfm_core.training.probing import epochs
from fairfm_core.training.probing.head_groups import head_groups, learning_rates
from fairfm_core.training.probing.heads import initial_weight
from fairfm_core.training.probing.optimizers import RULES, StepSizes
from fairfm_core.training.probing.train import (
    PassState,
    ProbeFeatures,
    ProbeTask,
    TrainedProbe,
    predict_probe,
    train_probes,
)
from fairfm_core.training.probing.validation_auc import defined_pathologies, mean_aucs

CPU = torch.device("cpu")
N, N_VAL, D, P = 300, 200, 24, 3
RATES = {"adamw": (1e-3, 1e-2, 0.1), "sgd": (0.05, 0.5, 2.0), "lars": (0.5, 5.0, 20.0)}
"""Of heads that train soundly, by optimiser."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Work as small as this only waits for other threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(optimizer: str = "adamw", **fields: Any) -> LinearProbe:
    values: dict[str, Any] = {"epochs": 5, "batch_size": 64, "warmup_epochs": 2} | fields
    return LinearProbe(method="linear_probe", optimizer=optimizer, **values)


def features(views: int = 1) -> ProbeFeatures:
    """Features with some signal, off centre and of uneven scale."""
    draw = np.random.default_rng(0)
    scale_D = draw.uniform(0.2, 3.0, D)
    train = (draw.normal(size=(views, N, D)) + 0.5) * scale_D
    train[1:] = train[:1] + 0.1 * train[1:]
    val = (draw.normal(size=(N_VAL, D)) + 0.5) * scale_D
    return ProbeFeatures(train.astype(np.float32), val.astype(np.float32))


def labels(x_ND: NDArray[np.float32], unknown: float = 0.1) -> NDArray[np.float64]:
    """Labels [N, P] that a linear model can half explain; some are unknown."""
    draw = np.random.default_rng(1)
    signal_NP = x_ND @ draw.normal(size=(D, P)) / 4
    label_NP = (signal_NP + draw.normal(size=signal_NP.shape) > 1).astype(np.float64)
    label_NP[draw.random(label_NP.shape) < unknown] = np.nan
    return label_NP


def task(found: ProbeFeatures, given: LinearProbe, seed: int = 0, **fields: Any) -> ProbeTask:
    values = {
        "chosen_N": np.arange(N),
        "labels_train_NP": labels(found.train_VND[0]),
        "labels_val_NP": labels(found.val_ND),
    }
    return ProbeTask(given, seed, **(values | fields))


def grid(optimizer: str, **fields: Any) -> list[LinearProbe]:
    """Six heads: three rates, with and without weight decay, of both scalings."""
    return [
        recipe(optimizer, lr=lr, weight_decay=decay, lr_scaling=scaling, **fields)
        for lr in RATES[optimizer]
        for decay, scaling in ((0.0, "absolute"), (0.02, "linear256"))
    ]


def torch_adamw(head: nn.Linear, given: LinearProbe, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=given.weight_decay)


def torch_sgd(head: nn.Linear, given: LinearProbe, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(head.parameters(), lr=lr, momentum=0.9, weight_decay=given.weight_decay)


def timm_lars(head: nn.Linear, given: LinearProbe, lr: float) -> torch.optim.Optimizer:
    weights = {"params": [head.weight], "weight_decay": given.weight_decay, "always_adapt": True}
    return Lars([weights, {"params": [head.bias]}], lr=lr, momentum=0.9, trust_coeff=0.001)


OPTIMIZERS = {"adamw": torch_adamw, "sgd": torch_sgd, "lars": timm_lars}
SCALES = {"absolute": 1.0, "linear256": 64 / 256}


def slow_probe(found: ProbeFeatures, asked: ProbeTask) -> TrainedProbe:
    """One head by modules, autograd and optimisers of torch and timm."""
    given = asked.recipe
    x_VND, x_val_ND = torch.from_numpy(found.train_VND), torch.from_numpy(found.val_ND)
    x_VND, y_NP = x_VND[:, asked.chosen_N], torch.from_numpy(asked.labels_train_NP).float()
    y_NP, steps = y_NP[asked.chosen_N], batch_count(len(asked.chosen_N), given.batch_size)
    weights_NP = None if asked.weights_NP is None else torch.from_numpy(asked.weights_NP)
    linear = nn.Linear(D, y_NP.shape[1])
    generator = torch.Generator().manual_seed(stream_seed(asked.seed, "init", "head"))
    nn.init.trunc_normal_(linear.weight, std=0.01, generator=generator)
    nn.init.zeros_(linear.bias)
    norm = nn.BatchNorm1d(D, affine=False, eps=1e-6) if given.normalise else nn.Identity()
    head = nn.Sequential(norm, linear)
    optimizer = OPTIMIZERS[given.optimizer](linear, given, given.lr * SCALES[given.lr_scaling])
    schedule = cosine_schedule(
        optimizer,
        epochs=given.epochs,
        warmup_epochs=given.warmup_epochs,
        steps_per_epoch=steps,
        min_lr=0.0,
    )
    step, best_auc, best_epoch, history = 0, -math.inf, 0, []
    best = {name: value.clone() for name, value in head.state_dict().items()}
    for epoch in range(given.epochs):
        losses = []
        head.train()
        order = epoch_order(len(y_NP), asked.seed, epoch)
        for index in index_batches(order, given.batch_size):
            schedule.step_update(step)
            step += 1
            optimizer.zero_grad()
            logits_BP, y_BP = head(x_VND[epoch % len(x_VND), index]), y_NP[index]
            known_BP = ~torch.isnan(y_BP)
            weight = None if weights_NP is None else weights_NP[index][known_BP]
            loss = F.binary_cross_entropy_with_logits(logits_BP[known_BP], y_BP[known_BP], weight)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        head.eval()
        auc = mean_auc(asked.labels_val_NP, head(x_val_ND).sigmoid().detach().numpy())
        if auc > best_auc:
            best_auc, best_epoch = auc, epoch + 1
            best = {name: value.clone() for name, value in head.state_dict().items()}
        rate = optimizer.param_groups[-1]["lr"]
        history.append({"epoch": epoch + 1, "loss": np.mean(losses), "val_auc": auc, "lr": rate})
    if given.select == "val_best" and best_epoch:
        head.load_state_dict(best)
    running = head.state_dict()
    return TrainedProbe(
        linear.weight.detach().numpy().T.copy(),
        linear.bias.detach().numpy(),
        running["0.running_mean"].numpy() if given.normalise else None,
        running["0.running_var"].numpy() if given.normalise else None,
        history,
        best_epoch,
        step,
        None,
    )


def assert_same(fast: TrainedProbe, slow: TrainedProbe, rtol: float = 1e-4) -> None:
    scale = float(np.abs(slow.weight_DP).max())
    np.testing.assert_allclose(fast.weight_DP, slow.weight_DP, rtol=rtol, atol=1e-5 * scale)
    np.testing.assert_allclose(fast.bias_P, slow.bias_P, rtol=rtol, atol=1e-5 * scale)
    assert (fast.mean_D is None) == (slow.mean_D is None)
    if fast.mean_D is not None and slow.mean_D is not None:
        np.testing.assert_array_equal(fast.mean_D, slow.mean_D)
        np.testing.assert_array_equal(fast.variance_D, slow.variance_D)
    assert (fast.best_epoch, fast.steps, fast.failure) == (slow.best_epoch, slow.steps, None)
    for a, b in zip(fast.history, slow.history, strict=True):
        assert a["epoch"] == b["epoch"]
        assert a["lr"] == b["lr"]
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["val_auc"] == pytest.approx(b["val_auc"], abs=1e-6)


def assert_identical(some: list[TrainedProbe], others: list[TrainedProbe]) -> None:
    for a, b in zip(some, others, strict=True):
        for name in ("weight_DP", "bias_P", "mean_D", "variance_D"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert repr(timeless(a.history)) == repr(timeless(b.history))  # NaN too
        assert (a.best_epoch, a.steps, a.failure) == (b.best_epoch, b.steps, b.failure)


def timeless(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in {"seconds", "time"}} for row in history]


@pytest.mark.slow
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_heads_together_equal_heads_one_by_one(optimizer: str, normalise: bool) -> None:
    found = features()
    tasks = [task(found, given) for given in grid(optimizer, normalise=normalise)]
    for asked, fast in zip(tasks, train_probes(tasks, found, CPU), strict=True):
        assert_same(fast, slow_probe(found, asked))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_companions_change_float32_rounding_at_most(optimizer: str) -> None:
    found = features()
    tasks = [task(found, given) for given in grid(optimizer)]
    for asked, together in zip(tasks, train_probes(tasks, found, CPU), strict=True):
        (alone,) = train_probes([asked], found, CPU)
        assert_same(together, alone)
        score_NP = predict_probe(together, found.val_ND, CPU)
        np.testing.assert_allclose(
            score_NP, predict_probe(alone, found.val_ND, CPU), rtol=0, atol=1e-5
        )


def test_rates_are_those_of_the_official_codes() -> None:
    """MAE: by i / len(loader) + epoch, with a warm-up from 0. MoCo v3: by epoch, without one."""
    found = features()
    for rising, rate_per, passed in ((2, "step", float), (0, "epoch", math.floor)):
        start = recipe(lr=2.0, epochs=6, warmup_epochs=rising, rate_per=rate_per)
        asked = task(found, start)
        (group,) = head_groups([asked], ["x"], CPU)
        steps = batch_count(len(asked.chosen_N), start.batch_size)
        assert steps > 2
        rates = [float(rate) for epoch in range(6) for (rate,) in learning_rates(group, epoch)]
        reached = [passed(n / steps) for n in range(6 * steps)]
        assert rates == pytest.approx([2.0 * official_rate(epoch, rising, 6) for epoch in reached])


def official_rate(epoch: float, warmup: int, epochs: int) -> float:
    """adjust_learning_rate of both codes, for a peak of 1 and a floor of 0."""
    if epoch < warmup:
        return epoch / warmup
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


def mixed_tasks(found: ProbeFeatures, **fields: Any) -> list[ProbeTask]:
    """Heads of other seeds, samplings and labels in turn; two of each share their batches."""
    draw = np.random.default_rng(2)
    other = labels(found.train_VND[0], unknown=0.5)[:, :2]
    other[:, 1] = np.nan  # a pathology of which nothing is known
    val = labels(found.val_ND)[:, :2]
    val[:, 1] = 1.0  # one class alone
    kinds: list[tuple[int, dict[str, Any]]] = [
        (0, {}),
        (7, {}),
        (0, {"chosen_N": np.sort(draw.choice(N, 150, replace=False))}),
        (0, {"chosen_N": np.arange(40)}),  # less than a batch
        (0, {"labels_train_NP": other, "labels_val_NP": val}),
    ]
    return [
        task(found, recipe(lr=lr, **fields), seed, **kind)
        for lr in RATES["adamw"][:2]
        for seed, kind in kinds
    ]


def test_seeds_samplings_and_labels_mix() -> None:
    found = features()
    tasks = mixed_tasks(found)
    for asked, fast in zip(tasks, train_probes(tasks, found, CPU), strict=True):
        assert_same(fast, slow_probe(found, asked))


def test_labels_are_weighted() -> None:
    """Heads of the same batches but other weights are apart; weights of 1 change nothing."""
    found = features()
    draw = np.random.default_rng(4)
    shapes = (N, P)
    weights = [None, np.ones(shapes), draw.uniform(0, 3, shapes), draw.integers(0, 2, shapes)]
    tasks = [
        task(found, recipe(lr=0.01), weights_NP=w if w is None else w.astype(np.float32))
        for w in weights
    ]
    trained = train_probes(tasks, found, CPU)
    for asked, fast in zip(tasks, trained, strict=True):
        (alone,) = train_probes([asked], found, CPU)
        assert_identical([fast], [alone])
        assert_same(fast, slow_probe(found, asked))
    assert_identical(trained[:1], trained[1:2])
    assert not np.allclose(trained[0].weight_DP, trained[2].weight_DP, rtol=0.01)


@pytest.mark.parametrize("select", ["val_best", "last"])
def test_each_epoch_sees_its_view(select: str) -> None:
    found = features(views=3)
    given = recipe(views=3, epochs=7, select=select, lr=0.3, warmup_epochs=0)
    tasks = [task(found, given.model_copy(update={"lr": lr})) for lr in (0.01, 0.3)]
    fast = train_probes(tasks, found, CPU)
    slow = [slow_probe(found, asked) for asked in tasks]
    for a, b in zip(fast, slow, strict=True):
        assert_same(a, b)
    assert min(probe.best_epoch for probe in fast) < 7  # so that `select` makes a difference


def test_heads_of_one_seed_start_equal_and_predictions_are_the_validated_ones() -> None:
    found = features()
    asked = task(found, recipe(epochs=1, lr=1e-30))
    (trained,) = train_probes([asked], found, CPU)
    np.testing.assert_array_equal(trained.weight_DP, initial_weight(D, P, 0).numpy().T)
    scores_NP = predict_probe(trained, found.val_ND, CPU)
    assert scores_NP.dtype == np.float32
    assert scores_NP.shape == (N_VAL, P)
    assert mean_auc(asked.labels_val_NP, scores_NP) == trained.history[0]["val_auc"]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_a_head_that_diverges_fails_alone(optimizer: str) -> None:
    found = features()
    sound = [task(found, given) for given in grid(optimizer)]
    wild = task(found, recipe(optimizer, lr=1e30, weight_decay=0.1))
    rows: list[Any] = []
    tasks = [sound[0], wild, *sound[1:]]
    trained = train_probes(tasks, found, CPU, None, lambda e, found, s: rows.append(list(found)))
    failure = trained.pop(1).failure
    assert failure is not None
    message = r"loss is (nan|inf) at step [2-8] \(epoch [12]\); lower the learning rate or check"
    assert re.match(message, failure)
    assert rows[-1][1] is None
    assert all(row is not None for k, row in enumerate(rows[-1]) if k != 1)
    # The same companions, one of them harmless: what the diverged head held does not matter.
    calm = [sound[0], task(found, recipe(optimizer, lr=1e-3)), *sound[1:]]
    others = train_probes(calm, found, CPU)
    del others[1]
    assert_identical(trained, others)


def test_all_heads_may_fail() -> None:
    found = features()
    tasks = [task(found, recipe(lr=1e30, weight_decay=1.0), seed) for seed in (0, 1)]
    trained = train_probes(tasks, found, CPU)
    assert all(probe.failure is not None and len(probe.history) < 5 for probe in trained)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_interrupted_equals_uninterrupted_bit_for_bit(optimizer: str) -> None:
    found = features(views=2)
    wild = recipe(optimizer, lr=1e30, weight_decay=0.1, views=2)
    tasks = [task(found, given, seed) for given in grid(optimizer, views=2) for seed in (0, 1)]
    tasks += [task(found, wild)]
    saved: list[bytes] = []

    def save(epoch: int, rows: Any, state: PassState) -> None:
        assert state.epoch == epoch == len(saved) + 1
        saved.append(state.to_bytes())

    whole = train_probes(tasks, found, CPU, None, save)
    assert len(saved) == 5
    for content in saved:
        assert_identical(train_probes(tasks, found, CPU, content), whole)
    with pytest.raises(ValueError, match="other heads"):
        train_probes(tasks[:2], found, CPU, saved[0])


def test_validation_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = features()
    tasks = [task(found, given) for given in grid("adamw")]
    whole = train_probes(tasks, found, CPU)
    monkeypatch.setattr(epochs, "BLOCK", 4 * N_VAL * P)
    for a, b in zip(train_probes(tasks, found, CPU), whole, strict=True):
        assert_same(a, b)


def test_heads_of_one_pass_share_their_epochs() -> None:
    found = features()
    tasks = [task(found, recipe(epochs=2)), task(found, recipe(epochs=3))]
    with pytest.raises(AssertionError, match=r"differ in epochs: \[2, 3\]"):
        train_probes(tasks, found, CPU)


def test_features_may_be_read_only() -> None:
    found = features()
    tasks = [task(found, recipe())]
    whole = train_probes(tasks, found, CPU)
    found.train_VND.flags.writeable = found.val_ND.flags.writeable = False
    assert_identical(train_probes(tasks, found, CPU), whole)
    predict_probe(whole[0], found.val_ND, CPU)


def mae_lars(parameter: Tensor, gradient: Tensor, mu: Tensor, lr: float, decay: float) -> None:
    """One parameter's step as MAE's `util/lars.py` has it (momentum 0.9, trust 0.001)."""
    if parameter.ndim > 1:
        gradient = gradient.add(parameter, alpha=decay)
        parameter_norm, update_norm = torch.norm(parameter), torch.norm(gradient)
        one = torch.ones_like(parameter_norm)
        q = torch.where(
            parameter_norm > 0.0,
            torch.where(update_norm > 0, 0.001 * parameter_norm / update_norm, one),
            one,
        )
        gradient = gradient.mul(q)
    mu.mul_(0.9).add_(gradient)
    parameter.add_(mu, alpha=-lr)


def test_lars_is_that_of_mae() -> None:
    draw = torch.Generator().manual_seed(0)
    weight_KPD, bias_KP = torch.randn(3, 4, 5, generator=draw), torch.randn(3, 4, generator=draw)
    weight_KPD[2] = 0.0  # without a norm there is no ratio
    slow = [(weight_KPD[k].clone(), bias_KP[k].clone()) for k in range(3)]
    mus = [(torch.zeros(4, 5), torch.zeros(4)) for _ in range(3)]
    memory = [{"momentum": torch.zeros(3, 20)}, {"momentum": torch.zeros(3, 4)}]
    rates = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    sizes = StepSizes(1, rates[:, None], torch.zeros(3, 1, dtype=torch.float64))
    for _ in range(5):
        by_weight, by_bias = (torch.randn(3, *s, generator=draw) for s in ((4, 5), (4,)))
        for k in range(3):
            mae_lars(slow[k][0], by_weight[k], mus[k][0], float(rates[k]), 0.0)
            mae_lars(slow[k][1], by_bias[k], mus[k][1], float(rates[k]), 0.0)
        weight_KX = weight_KPD.flatten(1)
        RULES["lars"].weights(weight_KX, by_weight.flatten(1), memory[0], sizes)
        RULES["lars"].biases(bias_KP, by_bias, memory[1], sizes)
    torch.testing.assert_close(weight_KPD, torch.stack([w for w, _ in slow]), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(bias_KP, torch.stack([b for _, b in slow]), rtol=1e-6, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**20),
    st.integers(1, 40),
    st.sampled_from([1, 2, 5, 10**6]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_aucs_of_many_heads_equal_those_of_each(
    seed: int, count: int, levels: int, unknown: float
) -> None:
    draw = np.random.default_rng(seed)
    scores_KPN = (draw.integers(0, levels + 1, (3, 4, count)) / levels).astype(np.float32)
    label_NP = draw.integers(0, 2, (count, 4)).astype(np.float64)
    label_NP[draw.random((count, 4)) < unknown] = np.nan
    scores_KPN[2, 1, -1] = np.nan
    found = mean_aucs(scores_KPN, defined_pathologies(label_NP))
    expected = [mean_auc(label_NP, scores_PN.T) for scores_PN in scores_KPN]
    np.testing.assert_array_equal(found, expected)
    assert math.isnan(found[2])


def test_without_a_validation_auc_the_last_weights_stay() -> None:
    found = features()
    nothing = np.full((N_VAL, P), np.nan)
    best, last = (
        train_probes([task(found, recipe(select=select), labels_val_NP=nothing)], found, CPU)
        for select in ("val_best", "last")
    )
    assert best[0].best_epoch == 0
    assert_identical(best, last)
