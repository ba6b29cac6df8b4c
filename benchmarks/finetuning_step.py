"""A step of end-to-end fine-tuning: this program in both precisions against a loop of timm's parts.

The other side is what one would write with timm: its model, its AdamW with layer decay, its RGB
transform on PIL images, float32. Both sides see the same stored images, batch and recipe, on one
thread in one process, turn by turn; medians of the rounds, in CPU seconds. The step alone is
compared, and whole training with the data path, whose share of the time is printed. `auto` is the
precision that a study would choose here by its own measurement.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from timm import create_model
from timm.data import create_transform
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from benchmarks.sizes import sized
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.frozen import Precision
from fairfm_core.cores import processor_name
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.finetuning.stage import build_network, learner_of
from fairfm_core.training.finetuning.steps import train_step
from fairfm_core.training.loading import LabelledBatch, TrainingBatches
from fairfm_core.training.losses import Loss
from fairfm_core.training.sixteen_bits import gain_of_16_bits
from sweeps.status.precision import PROCESSOR, chosen

BATCH, STORED, SIZE, LABELS = sized(16, 4), sized(256, 16), 224, 14
STEPS, ROUNDS = sized(3, 1), sized(5, 1)
GOAL_RATIO, GOAL_WITH_UNITS = 1.05, 2.0
"""Of the chosen precision: on any processor, and on one with matrix units for bfloat16."""
UNITS = "amx_bf16"
MODEL = "vit_tiny_patch16_224"
CPU = torch.device("cpu")
RECIPE = EndToEnd(
    method="end_to_end",
    batch_size=BATCH,
    layer_decay=0.55,
    augmentation="randaugment",
)
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
BACKBONE = Backbone(name=MODEL, image_size=SIZE)
Batch = tuple[Tensor, Tensor]


def bench_finetuning_step() -> bool:
    """Print images a second on both sides and the share of the data path; whether it is met."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images_NHW, labels_NP = _data()
    theirs = _Theirs(images_NHW, labels_NP)
    ours = {each: _Ours(images_NHW, labels_NP, each) for each in PRECISIONS}
    sides: dict[str, Callable[[], None]] = {"step, timm in fp32": theirs.steps}
    sides |= {f"step, fairfm in {name}": side.steps for name, side in ours.items()}
    sides |= {"training, timm in fp32": theirs.train}
    sides |= {f"training, fairfm in {name}": side.train for name, side in ours.items()}
    rates = _rates(sides)
    torch.set_num_threads(threads)
    gain = gain_of_16_bits(BACKBONE, RECIPE, processor_name())
    auto = "fp32" if chosen([gain]) == "auto" else "bf16"
    goal = GOAL_WITH_UNITS if UNITS in PROCESSOR.read_text().split() else GOAL_RATIO
    print(
        f"fine-tuning {MODEL}, batch {BATCH}, {SIZE} px, one thread of {processor_name()}, load "
        f"{os.getloadavg()[0]:.1f}, images a second of CPU time:"
    )
    for name, rate in rates.items():
        theirs_rate = rates[f"{name.split(',')[0]}, timm in fp32"]
        print(f"  {name:26} {rate:6.1f}  ratio {rate / theirs_rate:.2f}")
    step = rates[f"step, fairfm in {auto}"] / rates["step, timm in fp32"]
    print(f"  auto is {auto} here (gain {gain:.2f}): ratio of the steps {step:.2f} (goal {goal:g})")
    print(
        f"  the data path takes {100 * ours[auto].data_share:.1f}% of training here, "
        f"{100 * theirs.data_share:.1f}% with timm's on PIL"
    )
    return step >= goal


def _data() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (STEPS * BATCH, 16, 16), dtype=np.uint8)
    images = [Image.fromarray(c).resize((STORED, STORED), Image.Resampling.BICUBIC) for c in coarse]
    return np.stack([np.asarray(image) for image in images]), draw.integers(
        0, 2, (STEPS * BATCH, LABELS)
    ).astype(np.float64)


def _rates(sides: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Images a second of each side, the median of rounds in which they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, work in sides.items():
            started = time.process_time()
            work()
            if number > 0:  # the first round warms up
                seconds[name].append(time.process_time() - started)
    return {name: STEPS * BATCH / statistics.median(found) for name, found in seconds.items()}


class _Theirs:
    """timm's model, optimiser and transform in a plain loop."""

    def __init__(self, images_NHW: np.ndarray, labels_NP: np.ndarray) -> None:
        torch.manual_seed(0)
        self.model = create_model(
            MODEL, num_classes=LABELS, drop_path_rate=RECIPE.drop_path, global_pool="avg"
        )
        self.optimizer = create_optimizer_v2(
            self.model, "adamw", lr=1e-4, weight_decay=0.05, layer_decay=RECIPE.layer_decay
        )
        self.transform = create_transform(
            SIZE, is_training=True, auto_augment="rand-m6-mstd0.5-inc1", color_jitter=None
        )
        self.images = [Image.fromarray(image).convert("RGB") for image in images_NHW]
        self.labels = torch.from_numpy(labels_NP).float()
        self.ready = list(self._batches())
        self.data_share = 0.0

    def _batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.images), BATCH):
            pictures = [self.transform(image) for image in self.images[start : start + BATCH]]
            yield torch.stack(pictures), self.labels[start : start + BATCH]

    def steps(self) -> None:
        for batch in self.ready:
            self._step(*batch)

    def train(self) -> None:
        started, inside = time.perf_counter(), 0.0
        for batch in self._batches():
            begun = time.perf_counter()
            self._step(*batch)
            inside += time.perf_counter() - begun
        whole = time.perf_counter() - started
        self.data_share = (whole - inside) / whole

    def _step(self, inputs: Tensor, targets: Tensor) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(self.model(inputs), targets).backward()
        self.optimizer.step()


class _Ours:
    """This program's batches and steps."""

    def __init__(self, images_NHW: np.ndarray, labels_NP: np.ndarray, precision: Precision) -> None:
        recipe = RECIPE.model_copy(update={"precision": precision})
        model = build_network(recipe, BACKBONE, LABELS, 0, CPU)
        self.learner = learner_of(model, recipe, 0, CPU, Loss())
        rows_N = np.arange(len(images_NHW))
        self.batches = TrainingBatches(
            images_NHW, rows_N, labels_NP, recipe, BACKBONE, 0, CPU, workers=0
        )
        self.ready = list(self.batches.epoch(0))
        self.data_share = 0.0

    def steps(self) -> None:
        self._train(self.ready)

    def train(self) -> None:
        self.batches.waited = 0.0
        started = time.perf_counter()
        self._train(self.batches.epoch(0))
        self.data_share = self.batches.waited / (time.perf_counter() - started)

    def _train(self, batches: Iterator[LabelledBatch] | list[LabelledBatch]) -> None:
        self.learner.model.train()
        for batch in batches:
            train_step(self.learner, TrainingState(), batch)
