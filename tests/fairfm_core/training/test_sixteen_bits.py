"""The gain of bfloat16 is measured on what an adaptation spends its time with."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.training import sixteen_bits
from fairfm_core.training.sixteen_bits import gain_of_16_bits

VIT = Backbone(name="test_vit", image_size=32, channels=1, options={"patch_size": 8, "depth": 2})


@pytest.mark.parametrize(
    "adaptation",
    [LinearProbe(method="linear_probe"), EndToEnd(method="end_to_end", micro_batch=1)],
    ids=["pass", "step"],
)
def test_a_gain_is_a_ratio_of_times(adaptation: EndToEnd | LinearProbe) -> None:
    threads = torch.get_num_threads()
    assert 0 < gain_of_16_bits(VIT, adaptation, "this one") < 1000
    assert torch.get_num_threads() == threads


def test_sides_take_turns_in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def recorded(backbone: Backbone, adaptation: object, precision: str) -> sixteen_bits.Work:
        return lambda images_BCSS: asked.append(f"{precision} {len(images_BCSS)}")

    monkeypatch.setattr(sixteen_bits, "_pass", recorded)
    monkeypatch.setattr(sixteen_bits, "ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr(sixteen_bits.time, "process_time", count(1).__next__)
    assert gain_of_16_bits(VIT, LinearProbe(method="linear_probe"), "this one") == 1
    assert asked == ["fp32 1", "bf16 1", "fp32 4", "bf16 4"]
