"""Losses against plain loops over labels; unknown labels and unknown groups count for nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from fairfm_core.config.adaptation import Adaptation, EndToEnd, LinearProbe
from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.config.methods.losses import LOSSES
from fairfm_core.errors import BadInput
from fairfm_core.training.adapt_data import training_loss
from fairfm_core.training.batches import Split
from fairfm_core.training.losses import UNKNOWN_GROUP, Loss, known_count

NAN = float("nan")
GROUPS = ("Asian", "Black", None, "White")


def recipe(loss: Any, method: str = "end_to_end") -> Any:
    values = {"method": method, "loss": loss}
    return TypeAdapter(Adaptation).validate_python(values)


def drawn(seed: int) -> tuple[Tensor, Tensor, Split]:
    """Logits, targets and the training images of 24 labels of 3 pathologies."""
    draw = np.random.default_rng(seed)
    targets_NP = draw.choice([0.0, 1.0, NAN], size=(24, 3))
    targets_NP[0] = 1.0
    races = [GROUPS[place] for place in draw.choice(4, 24, p=[0.2, 0.2, 0.1, 0.5])]
    races[:3] = ["Asian", "Black", "White"]
    columns = {f"y_{name}": targets_NP[:, p] for p, name in enumerate("abc")}
    frame = pd.DataFrame({"image_id": range(24), "race": races, "sex": ["F", "M"] * 12, **columns})
    logits_NP = torch.from_numpy(draw.normal(size=(24, 3)).astype(np.float32))
    return logits_NP, torch.from_numpy(targets_NP).float(), Split(frame, tuple("abc"))


def mean_loss(loss: Any, seed: int) -> tuple[float, Tensor, Tensor, Split]:
    """The loss of all 24 images as one batch, by the product."""
    logits_NP, targets_NP, split = drawn(seed)
    made, groups_N = training_loss(recipe(loss).loss, split, AGE_EDGES)
    total = made.summed(logits_NP, targets_NP, torch.from_numpy(groups_N))
    return float(total / known_count(targets_NP)), logits_NP, targets_NP, split


def entropy(logit: float, target: float) -> float:
    """Cross-entropy of one label."""
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p) if target == 1 else -math.log(1 - p)


def known_labels(targets_NP: Tensor) -> list[tuple[int, int]]:
    """(image, pathology) of each known label."""
    return [(n, p) for n in range(24) for p in range(3) if not math.isnan(targets_NP[n, p])]


@given(st.integers(0, 2**20))
def test_cross_entropy_is_the_mean_over_known_labels(seed: int) -> None:
    loss, logits, targets, _ = mean_loss("bce", seed)
    terms = [entropy(float(logits[n, p]), float(targets[n, p])) for n, p in known_labels(targets)]
    assert loss == pytest.approx(sum(terms) / len(terms), rel=1e-4)


@given(st.integers(0, 2**20), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_focal_loss_is_its_formula(seed: int, gamma: float) -> None:
    loss, logits, targets, _ = mean_loss({"name": "focal", "gamma": gamma}, seed)
    terms = []
    for n, p in known_labels(targets):
        of_one = 1 / (1 + math.exp(-float(logits[n, p])))
        of_label = of_one if targets[n, p] == 1 else 1 - of_one
        terms.append((1 - of_label) ** gamma * -math.log(of_label))
    assert loss == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_focal_loss_has_gamma_1_and_is_cross_entropy_at_0() -> None:
    assert mean_loss("focal", 3)[0] == mean_loss({"name": "focal", "gamma": 1}, 3)[0]
    assert mean_loss({"name": "focal", "gamma": 0}, 3)[0] == mean_loss("bce", 3)[0]
    assert mean_loss("focal", 3)[0] < mean_loss("bce", 3)[0]


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_focal_loss_has_a_gradient_where_the_network_is_certain(gamma: float) -> None:
    logits = torch.tensor([[500.0, -500.0, 90.0, 1.0]], requires_grad=True)
    made, _ = training_loss(recipe({"name": "focal", "gamma": gamma}).loss, drawn(0)[2], AGE_EDGES)
    made.summed(logits, torch.tensor([[1.0, 1.0, 1.0, NAN]]), torch.zeros(1).long()).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1] < -0.9  # certain and wrong
    assert logits.grad[0, 3] == 0


@given(st.integers(0, 2**20))
def test_reweighting_gives_each_group_the_same_weight(seed: int) -> None:
    """A plain loop: for each pathology the mean over its groups of their mean cost."""
    loss, logits, targets, split = mean_loss({"name": "reweighted"}, seed)
    races, total, count = dict(split.frame["race"].dropna()), 0.0, len(known_labels(targets))
    for p in range(3):
        costs: dict[str, list[float]] = {}
        known = [n for n, q in known_labels(targets) if q == p]
        for n in known:
            if n in races:
                costs.setdefault(races[n], []).append(entropy(float(logits[n, p]), targets[n, p]))
        means = [sum(of_group) / len(of_group) for of_group in costs.values()]
        total += len(known) * sum(means) / max(1, len(means))
    assert loss == pytest.approx(total / count, rel=1e-4)


def test_weights_have_mean_1_and_leave_unknown_groups_out() -> None:
    _, targets, split = drawn(5)
    made, groups_N = training_loss(recipe("reweighted").loss, split, AGE_EDGES)
    assert made.weights is not None
    weights = made.weights(torch.from_numpy(groups_N))
    known = ~torch.isnan(targets)
    means = (weights * known).sum(dim=0) / known.sum(dim=0)
    torch.testing.assert_close(means, torch.ones(3))
    unknown = torch.from_numpy(split.frame["race"].isna().to_numpy(copy=True))
    assert unknown.any()
    assert (weights[unknown] == 0).all()
    assert (weights[~unknown][known[~unknown]] > 0).all()
    assert set(groups_N[unknown.numpy()]) == {UNKNOWN_GROUP}


def test_groups_may_be_combinations_and_the_data_must_have_them() -> None:
    frame = drawn(5)[2].frame.assign(race=["Asian", "Black"] * 12, sex=["F", "F", "M", "M"] * 6)
    split = Split(frame, tuple("abc"))
    of_two = {"name": "reweighted", "attribute": ["sex", "race"]}
    assert training_loss(recipe(of_two).loss, split, AGE_EDGES)[1].max() == 3
    with pytest.raises(BadInput, match=r"adaptation.loss.attribute: attribute .rase. is not in"):
        training_loss(recipe({"name": "reweighted", "attribute": "rase"}).loss, split, AGE_EDGES)


@pytest.mark.parametrize("loss", LOSSES)
def test_unknown_labels_give_no_gradient(loss: str) -> None:
    made, _ = training_loss(recipe(loss).loss, drawn(1)[2], AGE_EDGES)
    logits = torch.zeros(2, 3, requires_grad=True)
    targets = torch.tensor([[1.0, NAN, 1.0], [0.0, NAN, 0.0]])
    made.summed(logits, targets, torch.tensor([0, 1])).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, 0] != 0).all()


def test_a_batch_without_a_known_label_has_a_loss_of_0() -> None:
    targets = torch.full((2, 3), NAN)
    total = Loss().summed(torch.zeros(2, 3), targets, torch.zeros(2).long())
    assert float(total / known_count(targets)) == 0


# Configuration


def test_the_default_is_cross_entropy_and_no_part_of_what_a_recipe_is() -> None:
    plain = EndToEnd(method="end_to_end")
    assert plain.loss == recipe("bce").loss == recipe({"name": "bce"}).loss
    assert recipe("bce").content() == plain.content() == {"method": "end_to_end"}
    assert recipe("focal").content() == {"method": "end_to_end", "loss": {"name": "focal"}}
    assert recipe({"name": "focal", "gamma": 1}).content() == recipe("focal").content()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("focl", r"loss 'focl' is not known \(did you mean 'focal'\?\); known: bce, focal"),
        ({"name": "focal", "gamma": -1}, "greater than or equal to 0"),
        ({"name": "focal", "attribute": "race"}, "Extra inputs"),
        ({"name": "reweighted", "attribute": []}, "at least one name"),
        ({"gamma": 1}, "name"),
        (3, "loss"),
    ],
)
def test_wrong_losses_are_refused(loss: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe(loss)


def test_a_linear_probe_takes_only_losses_that_weight_images() -> None:
    assert LinearProbe(method="linear_probe").content() == {"method": "linear_probe"}
    assert recipe("reweighted", "linear_probe").loss.name == "reweighted"
    message = "linear probe cannot train with loss focal; use one of bce, reweighted, or method: en"
    with pytest.raises(ValidationError, match=message):
        recipe("focal", "linear_probe")
