"""What computes a stage is recorded in kinds, and a GPU that torch cannot use is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fairfm_core.cores import processor_name
from fairfm_core.errors import GpuUnusable
from fairfm_core.stages import Stage
from fairfm_core.training import hardware
from fairfm_core.training.device import autocast

from ...cards import needs_cards

VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 14:37:44 UTC 2024"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose driver torch does not find; the file says which one it is."""
    monkeypatch.setattr(hardware, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path / "version"


def test_a_driver_that_is_too_old_is_named_with_torch(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    driver.write_text(VERSION)
    built = f"torch {torch.__version__} (CUDA 13.0)"
    with pytest.raises(GpuUnusable) as refused:
        hardware.check_gpu("10.0.0.3 (gpu7)")
    told = str(refused.value)
    assert told.startswith("Ray offers GPUs on node 10.0.0.3 (gpu7), where ")
    assert f"{built} finds no GPU; the driver is 470.256.02: update the driver" in told
    assert "gpus: 0" in told
    assert "\n" not in told


def test_a_torch_without_cuda_is_named(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "hip"):
        monkeypatch.setattr(torch.version, name, None)
    assert hardware.gpu_fault() == (
        f"torch {torch.__version__} is built without CUDA; the driver is missing"
    )


def test_a_gpu_that_cannot_compute_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card for which torch was built no kernels is seen, and fails when it is used."""

    def fail(*shape: int, device: str) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution\nCompile with")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "ones", fail)
    with pytest.raises(GpuUnusable, match=r"cannot compute .*\(CUDA error: no kernel image is"):
        hardware.check_gpu("10.0.0.3 (gpu7)")


@pytest.mark.parametrize(
    ("kind", "config", "precision"),
    [
        ("pretrain", {"pretraining": {"precision": "auto"}}, "fp32"),
        ("adapt", {"adaptation": {"method": "end_to_end", "precision": "bf16"}}, "bf16"),
        ("adapt", {"adaptation": {"method": "linear_probe", "precision": "bf16"}}, "fp32"),
        ("features", {}, "fp32"),
    ],
)
def test_the_record_names_kinds_of_hardware(
    kind: str, config: dict[str, Any], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "pick_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(hardware, "compute_dtype", lambda device, p: CPU_TYPES[p])
    found = hardware.trained_on(Stage(kind, config, "/data", "digest"))
    assert found == {"device": "cpu", "precision": precision, "host": processor_name()}


CPU_TYPES = {"auto": torch.float32, "bf16": torch.bfloat16}


@needs_cards()
@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_a_card_computes_and_is_named(precision: str) -> None:
    """In every precision that a card has, the same product up to that precision's rounding."""
    hardware.check_gpu("this machine")
    config = {"adaptation": {"method": "end_to_end", "precision": precision}}
    found = hardware.trained_on(Stage("adapt", config, "/data", "digest"))
    assert found["device"] == torch.cuda.get_device_name()
    assert found["precision"] in ({"bf16", "fp16"} if precision == "auto" else {precision})
    device = torch.device("cuda")
    one = torch.linspace(-1, 1, 64 * 64, device=device).view(64, 64)
    with autocast(device, precision):  # type: ignore[arg-type]
        product = one @ one
    torch.testing.assert_close(product.float().cpu(), one.cpu() @ one.cpu(), rtol=0.05, atol=0.2)
