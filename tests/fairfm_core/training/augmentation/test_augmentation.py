"""One seed, one picture: each augmentation beside a plain one of a single image."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import NORMALISATION, Backbone
from fairfm_core.training.augmentation.augmentation import augmenter, crop_and_flip, uniforms
from fairfm_core.training.augmentation.random_operations import LAST_BIN
from fairfm_core.training.augmentation.transforms import (
    AREAS,
    MAX_ROTATION,
    centre_crop,
    normalised,
    paper_augmentation,
    resized,
    to_input,
)

from ....cards import needs_cards

STORED, SEEN = 40, 32
BACKBONE = Backbone(name="vit_tiny_patch16_224", image_size=SEEN)
KINDS = [("none", "tensor"), ("paper", "tensor"), ("randaugment", "tensor"), ("randaugment", "pil")]


def recipe(kind: str, path: str = "tensor", **fields: object) -> EndToEnd:
    return EndToEnd.model_validate(
        {"method": "end_to_end", "augmentation": kind, "augmentation_path": path, **fields}
    )


def radiographs(count: int, size: int = STORED, seed: int = 0) -> Tensor:
    """Smooth grey images with some noise: uint8 [B, H, W]."""
    draw = np.random.default_rng(seed)
    coarse = torch.from_numpy(draw.uniform(0, 255, (count, 1, 6, 6)))
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")[:, 0]
    noise = torch.from_numpy(draw.normal(0, 4, (count, size, size)))
    return (smooth + noise).round().clamp(0, 255).to(torch.uint8)


def in_pixels(x_BCHW: Tensor, backbone: Backbone = BACKBONE) -> Tensor:
    """Normalised pictures as grey values again."""
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in backbone.statistics)
    return 255 * (x_BCHW * std[: backbone.channels] + mean[: backbone.channels])


@pytest.mark.parametrize(("kind", "path"), KINDS)
@given(st.integers(0, 2**63 - 1), st.integers(0, 5), st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_a_picture_is_of_its_seed_whatever_its_batch(
    kind: str, path: str, seed: int, start: int, count: int
) -> None:
    augment = augmenter(recipe(kind, path), BACKBONE)
    pixels = radiographs(6, seed=seed % 1000)
    seeds = [(seed + 7919 * place) % 2**63 for place in range(6)]
    together = augment(pixels, seeds)
    assert together.shape == (6, 3, SEEN, SEEN)
    assert together.dtype == torch.float32
    some = slice(start, start + count)
    assert torch.equal(augment(pixels[some], seeds[some]), together[some])
    assert torch.equal(augment(pixels.flip(0), seeds[::-1]).flip(0), together)


@pytest.mark.parametrize(("kind", "path"), KINDS[1:])
def test_seeds_make_different_pictures_in_range(kind: str, path: str) -> None:
    pixels = radiographs(1).expand(24, -1, -1)
    pictures = in_pixels(augmenter(recipe(kind, path), BACKBONE)(pixels, range(24)))
    assert len({picture.numpy().tobytes() for picture in pictures}) > 20
    assert pictures.min() > -0.01
    assert pictures.max() < 255.01
    assert torch.allclose(pictures[:, :1], pictures[:, 1:], atol=1e-3)


@pytest.mark.parametrize(("kind", "path"), KINDS)
def test_global_generators_stay_as_they_were(kind: str, path: str) -> None:
    augment = augmenter(recipe(kind, path), BACKBONE)
    before = states()
    augment(radiographs(3), [1, 2, 3])
    crop_and_flip(radiographs(3), [1, 2, 3], BACKBONE)
    assert states() == before


def test_generators_are_restored_when_an_image_fails() -> None:
    before = states()
    for path in ("tensor", "pil"):
        with pytest.raises(ValueError, match=r"zip|shorter"):
            augmenter(recipe("randaugment", path), BACKBONE)(radiographs(1), [1, 2])
    assert states() == before


def states() -> tuple[object, bytes, bytes]:
    numpy_state = np.random.get_state()  # noqa: NPY002
    return random.getstate(), numpy_state[1].tobytes(), torch.get_rng_state().numpy().tobytes()


def test_only_pil_runs_in_the_workers() -> None:
    pixels = radiographs(2)
    drawn = [augmenter(recipe(*kind), BACKBONE).drawn(pixels, range(2)) for kind in KINDS]
    assert [each is pixels for each in drawn] == [True] * 3 + [False]


@pytest.mark.parametrize("kind", KINDS)
def test_channels_and_normalisation_are_the_backbones(kind: tuple[str, str]) -> None:
    grey = Backbone(name="x", image_size=SEEN, channels=1, normalisation="imagenet")
    colour = Backbone(name="x", image_size=SEEN, channels=3, normalisation="half")
    one = augmenter(recipe(*kind), grey)(radiographs(4), range(4))
    three = augmenter(recipe(*kind), colour)(radiographs(4), range(4))
    assert one.shape == (4, 1, SEEN, SEEN)
    # The grey beyond an image's edge is of the normalisation; inside both pictures agree.
    apart = (in_pixels(one, grey) - in_pixels(three, colour)[:, :1]).abs()
    assert (apart < 0.01).float().mean() > 0.6


def test_constants_are_the_published_ones() -> None:
    """Section 3 of the paper."""
    assert math.degrees(MAX_ROTATION) == pytest.approx(7)
    assert AREAS == (0.6, 1.0)


def test_normalisation_equals_its_formula() -> None:
    x = torch.rand(2, 1, 3, 3)
    for name, (mean, std) in NORMALISATION.items():
        seen = normalised(x, Backbone(name="x", normalisation=name))  # type: ignore[arg-type]
        expected = torch.cat([(x - m) / s for m, s in zip(mean, std, strict=True)], dim=1)
        torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize(
    ("mean", "std"), [([0.1, 0.1, 0.6], [0.2, 0.2, 0.3]), ([0.3], [0.2]), ([0.3], [0.1, 0.2, 0.3])]
)
def test_numbers_normalise_as_names_do(mean: list[float], std: list[float]) -> None:
    x = torch.rand(2, 1, 3, 3)
    numbers = Backbone.model_validate({"name": "x", "normalisation": {"mean": mean, "std": std}})
    means, stds = (mean * 3)[:3], (std * 3)[:3]
    expected = torch.cat([(x - m) / s for m, s in zip(means, stds, strict=True)], dim=1)
    torch.testing.assert_close(normalised(x, numbers), expected)


# Evaluation


def test_whole_images_are_seen_without_a_crop() -> None:
    pixels = radiographs(3)
    assert torch.equal(centre_crop(pixels, 1.0), pixels)
    same = Backbone(name="x", image_size=STORED, channels=1)
    assert torch.equal(resized(pixels, same)[:, 0], pixels.float() / 255)
    assert torch.allclose(in_pixels(to_input(pixels, same))[:, 0], pixels.float(), atol=1e-3)


def test_the_centre_of_an_oblong_is_oblong() -> None:
    pixels = torch.arange(10 * 20).view(1, 10, 20)
    assert torch.equal(centre_crop(pixels, 0.5), pixels[:, 2:7, 5:15])
    assert torch.equal(centre_crop(pixels[:, :3, :5], 0.01), pixels[:, 1:2, 2:3])


@pytest.mark.parametrize(("stored", "seen", "share"), [(256, 224, 0.875), (64, 32, 0.9)])
def test_evaluation_crops_the_centre_as_pil_does(stored: int, seen: int, share: float) -> None:
    backbone = Backbone(name="x", image_size=seen, channels=1, crop_pct=share)
    pixels = radiographs(2, stored)
    side = round(stored * share)
    edge = round((stored - side) / 2)
    for picture, image in zip(in_pixels(to_input(pixels, backbone)), pixels, strict=True):
        cropped = Image.fromarray(image.numpy()).crop((edge, edge, edge + side, edge + side))
        expected = np.asarray(cropped.resize((seen, seen), Image.Resampling.BICUBIC), dtype=float)
        np.testing.assert_allclose(picture[0].numpy(), expected, atol=1.01)


@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
def test_images_are_resized_by_the_backbones_interpolation(name: str) -> None:
    backbone = Backbone.model_validate(
        {"name": "x", "image_size": SEEN, "channels": 1, "interpolation": name}
    )
    pixels = radiographs(2, 57)
    mode = Image.Resampling[name.upper()]
    for picture, image in zip(in_pixels(to_input(pixels, backbone), backbone), pixels, strict=True):
        expected = np.asarray(
            Image.fromarray(image.numpy()).resize((SEEN, SEEN), mode), dtype=float
        )
        np.testing.assert_allclose(picture[0].numpy(), expected, atol=1.01)


@pytest.mark.parametrize("kind", KINDS)
def test_every_view_depends_on_the_interpolation(kind: tuple[str, str]) -> None:
    linear = BACKBONE.model_copy(update={"interpolation": "bilinear"})
    pixels = radiographs(2)
    cubic, straight = (
        augmenter(recipe(*kind), each)(pixels, [5, 6]) for each in (BACKBONE, linear)
    )
    assert not torch.equal(cubic, straight)
    # Two ways to resize one view: alike almost everywhere.
    assert (in_pixels(cubic) - in_pixels(straight)).abs().median() < 8
    views = [crop_and_flip(pixels, [5, 6], each) for each in (BACKBONE, linear)]
    assert not torch.equal(*views)


def test_resizing_does_not_overshoot() -> None:
    """Bicubic weights are negative beside an edge."""
    pixels = torch.zeros(1, STORED, STORED, dtype=torch.uint8)
    pixels[:, :, STORED // 2 :] = 255
    seen = resized(pixels, Backbone(name="x", image_size=SEEN + 1, channels=1))
    assert (seen.min(), seen.max()) == (0, 1)


def test_training_augmentations_see_the_whole_image() -> None:
    cropped = BACKBONE.model_copy(update={"crop_pct": 0.5})
    pixels = radiographs(2)
    for kind in KINDS[1:]:
        whole, same = (augmenter(recipe(*kind), b)(pixels, [5, 6]) for b in (BACKBONE, cropped))
        assert torch.equal(whole, same)
    none = augmenter(recipe("none"), cropped)(pixels, [5, 6])
    assert torch.equal(none, to_input(pixels, cropped))


# The paper's


@pytest.mark.parametrize(("draw", "flipped"), [(0.49, True), (0.5, False)])
def test_half_of_the_pictures_are_flipped(draw: float, flipped: bool) -> None:
    """The whole image, not turned and not shifted: only the flip is left."""
    whole = torch.tensor([[1.0], [0.5], [0.5], [0.5], [draw]])
    x = torch.rand(1, 1, 8, 8)
    expected = x.flip(-1) if flipped else x
    torch.testing.assert_close(paper_augmentation(x, whole), expected)


def test_uniforms_are_of_splitmix64() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    expected = torch.tensor([[number / 2**64] for number in published])
    assert torch.allclose(uniforms([1234567], 3), expected, atol=1e-6)


def test_uniforms_are_uniform_for_seeds_in_a_row() -> None:
    drawn = uniforms(range(20_000), 5)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = torch.stack([torch.histc(row, 20, 0, 1) for row in drawn])
    chi2 = ((counts - 1000) ** 2 / 1000).sum(dim=1)
    assert (chi2 < 50).all()  # 19 degrees of freedom: p = 1e-4
    correlations = torch.corrcoef(drawn) - torch.eye(5)
    assert correlations.abs().max() < 0.03


@given(st.integers(0, 2**63 - 1))
@settings(max_examples=15, deadline=None)
def test_the_papers_equals_a_pixel_by_pixel_reference(seed: int) -> None:
    backbone = Backbone(name="x", image_size=16, channels=1)
    pixels = radiographs(1, 16, seed=seed % 100)
    seen = in_pixels(augmenter(recipe("paper"), backbone)(pixels, [seed]))[0, 0]
    expected = plainly_resampled(pixels[0].double().numpy(), uniforms([seed], 5)[:, 0].tolist())
    np.testing.assert_allclose(seen.numpy(), expected, atol=0.02)


def plainly_resampled(image: np.ndarray, draw: list[float]) -> np.ndarray:
    """Each output pixel looked up where crop, rotation and flip place it, bilinearly."""
    size = len(image)
    scale = math.sqrt(AREAS[0] + (AREAS[1] - AREAS[0]) * draw[0])
    angle = (2 * draw[1] - 1) * MAX_ROTATION
    shift = [(2 * d - 1) * (1 - scale) for d in draw[2:4]]
    out = np.empty_like(image)
    for row in range(size):
        for column in range(size):
            x, y = ((2 * place + 1) / size - 1 for place in (column, row))
            x = -x if draw[4] < 0.5 else x
            u = scale * (x * math.cos(angle) - y * math.sin(angle)) + shift[0]
            v = scale * (x * math.sin(angle) + y * math.cos(angle)) + shift[1]
            out[row, column] = bilinear(image, *(((p + 1) * size - 1) / 2 for p in (v, u)))
    return out


def bilinear(image: np.ndarray, row: float, column: float) -> float:
    row, column = (min(max(place, 0.0), len(image) - 1.0) for place in (row, column))
    top, left = int(row), int(column)
    bottom, right = (min(place + 1, len(image) - 1) for place in (top, left))
    down, along = row - top, column - left
    upper = image[top, left] * (1 - along) + image[top, right] * along
    lower = image[bottom, left] * (1 - along) + image[bottom, right] * along
    return float(upper * (1 - down) + lower * down)


# RandAugment


@pytest.mark.parametrize("magnitude", [0.0, 6.0, 10.0])
def test_tensors_equal_torchvision_one_image_after_the_other(magnitude: float) -> None:
    pixels = radiographs(200)
    seen = augmenter(recipe("randaugment", magnitude=magnitude), BACKBONE)(pixels, range(200))
    bins = {"magnitude": round(magnitude * LAST_BIN / 10), "num_magnitude_bins": LAST_BIN + 1}
    plain = v2.Compose(
        [
            v2.RandomResizedCrop(SEEN, (0.08, 1.0), interpolation=InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(2, **bins, interpolation=InterpolationMode.BILINEAR, fill=129),
        ]
    )
    with torch.random.fork_rng():
        for picture, image, seed in zip(in_pixels(seen), pixels, range(200), strict=True):
            torch.manual_seed(seed)
            expected = plain(image[None]).float().expand(3, -1, -1)
            assert torch.allclose(picture, expected, atol=1e-3), seed


def test_cropping_nothing_at_magnitude_zero_leaves_the_images_geometry() -> None:
    """The whole square is kept, so all that is left is the flip and changes of grey values."""
    pixels = radiographs(60, SEEN)
    whole = recipe("randaugment", magnitude=0, crop_scale=(1.0, 1.0))
    seen = in_pixels(augmenter(whole, BACKBONE)(pixels, range(60)))[:, 0]
    as_stored, flipped = (
        (seen - image).abs().amax(dim=(1, 2)) < 0.01 for image in (pixels, pixels.flip(-1))
    )
    # A whole crop has the ratio 1, which is drawn seldom: where none fits, the whole is kept.
    assert (as_stored | flipped).float().mean() > 0.5
    assert as_stored.any()
    assert flipped.any()


def timm_by_hand(pixels: Tensor, seeds: range, magnitude: int) -> Tensor:
    """timm's transform on RGB images, each with the global generators at its seed."""
    transform = create_transform(
        SEEN,
        is_training=True,
        auto_augment=f"rand-m{magnitude}-mstd0.5-inc1",
        re_prob=0,
        color_jitter=None,
        scale=(0.2, 0.9),
        interpolation="bicubic",
        mean=NORMALISATION["cxr"][0],
        std=NORMALISATION["cxr"][1],
    )
    pictures = []
    for image, seed in zip(pixels, seeds, strict=True):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        pictures.append(transform(Image.fromarray(image.numpy()).convert("RGB")))
    return torch.stack(pictures)


@pytest.mark.parametrize("magnitude", [0, 6, 8])
def test_pil_equals_timm_by_hand(magnitude: int) -> None:
    pixels, seeds = radiographs(200), range(1000, 1200)
    how = recipe("randaugment", "pil", magnitude=magnitude, crop_scale=(0.2, 0.9))
    seen = augmenter(how, BACKBONE)(pixels, seeds)
    assert torch.equal(seen, timm_by_hand(pixels, seeds, magnitude))


def test_pil_takes_magnitudes_between_whole_numbers() -> None:
    pictures = [
        augmenter(recipe("randaugment", "pil", magnitude=m), BACKBONE)(radiographs(60), range(60))
        for m in (6, 6.5, 7)
    ]
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[1], pictures[2])


def test_pil_goes_up_to_the_end_of_the_scale() -> None:
    """timm's own posterising would keep no bit there, which Pillow refuses."""
    augment = augmenter(recipe("randaugment", "pil", magnitude=10), BACKBONE)
    assert torch.isfinite(augment(radiographs(300), range(300))).all()


# The probe's


def test_crop_and_flip_equals_torchvision_one_image_after_the_other() -> None:
    pixels = radiographs(60)
    seen = in_pixels(crop_and_flip(pixels, range(60), BACKBONE))
    plain = v2.Compose(
        [
            v2.RandomResizedCrop(SEEN, (0.08, 1.0), interpolation=InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(),
        ]
    )
    with torch.random.fork_rng():
        for picture, image, seed in zip(seen, pixels, range(60), strict=True):
            torch.manual_seed(seed)
            assert torch.allclose(picture, plain(image[None]).float(), atol=1e-3), seed


@needs_cards()
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_makes_the_same_pictures(kind: tuple[str, str]) -> None:
    augment = augmenter(recipe(*kind), BACKBONE)
    pixels, seeds = radiographs(64), range(64)
    on_cpu, on_gpu = augment(pixels, seeds), augment(pixels.cuda(), seeds).cpu()
    # Resizing rounds otherwise on a GPU, by a grey value, which equalising makes more of.
    assert (in_pixels(on_cpu) - in_pixels(on_gpu)).abs().mean() < 1
