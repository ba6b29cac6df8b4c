"""Views of pre-training: each beside a plain one of a single image, and by what they measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.training.augmentation.augmentation import uniforms
from fairfm_core.training.pretraining.views import views_of

STORED, SEEN = 40, 32
WHOLE = (1.0, 1.0)
METHOD = {"crop": "mae", "paper": "mae", "mocov3": "mocov3"}
CASES = [("crop", 0), ("paper", 0), ("mocov3", 0), ("mocov3", 1)]
EACH = pytest.mark.parametrize(("kind", "number"), CASES)

# BYOL (Grill et al. 2020), table 6, as MoCo v3 takes it over: chances of a blur and of solarisation
# in the first and in the second view; all else is alike.
BLURRED, SOLARISED = (1.0, 0.1), (0.0, 0.2)
Image = NDArray[np.float64]


def backbone(channels: int = 1, size: int = SEEN, **fields: Any) -> Backbone:
    return Backbone.model_validate(
        {"name": "any", "image_size": size, "channels": channels, **fields}
    )


def views(
    kind: str, seen: Backbone | None = None, **fields: Any
) -> tuple[Callable[[Tensor, Any], Tensor], ...]:
    values = {"method": METHOD[kind], "corpora": ("c",), "augmentation": kind, **fields}
    return views_of(read_pretraining(values), seen or backbone())


def radiographs(count: int, size: int = STORED) -> Tensor:
    """Smooth grey images with some noise: uint8 [B, H, W]."""
    draw = np.random.default_rng(3)
    coarse = torch.from_numpy(draw.uniform(0, 255, (count, 1, 6, 6)))
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")[:, 0]
    noise = torch.from_numpy(draw.normal(0, 6, (count, size, size)))
    return (smooth + noise).round().clamp(0, 255).to(torch.uint8)


def in_shares(x_BCHW: Tensor) -> Tensor:
    """Pictures of the usual normalisation (Medical MAE's) in 0..1 again: [B, H, W]."""
    return x_BCHW[:, 0].double() * 0.252 + 0.5056


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small images are convolved at once; threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# All of them


@EACH
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_kind_are_the_networks(kind: str, number: int, channels: int) -> None:
    seen = views(kind, backbone(channels, size=48))[number](radiographs(3), [1, 2, 3])
    assert seen.shape == (3, channels, 48, 48)
    assert seen.dtype == torch.float32
    assert seen.is_contiguous()
    assert torch.equal(seen, seen[:, :1].expand_as(seen))


@EACH
def test_normalisation_is_the_backbones(kind: str, number: int) -> None:
    pixels, seeds = radiographs(3), [4, 5, 6]
    grey_BHW = in_shares(views(kind)[number](pixels, seeds))
    colour = backbone(3, normalisation="imagenet")
    # ImageNet's, in each channel of the same grey.
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    bands = [(grey_BHW - m) / d for m, d in zip(means, deviations, strict=True)]
    seen = views(kind, colour)[number](pixels, seeds).double()
    torch.testing.assert_close(seen, torch.stack(bands, dim=1), rtol=0, atol=1e-5)


@EACH
@pytest.mark.parametrize("size", [SEEN, 64, 224])
def test_a_view_is_of_its_seed_whatever_its_companions(kind: str, number: int, size: int) -> None:
    view, pixels = views(kind, backbone(3, size))[number], radiographs(12)
    seeds = [(2**61 + 7919 * place**3) % 2**63 for place in range(12)]
    together = view(pixels, seeds)
    for place, seed in enumerate(seeds):
        assert torch.equal(view(pixels[place : place + 1], [seed])[0], together[place])
    assert torch.equal(view(pixels.flip(0), seeds[::-1]).flip(0), together)


@EACH
def test_another_seed_is_another_view(kind: str, number: int) -> None:
    pictures = views(kind)[number](radiographs(1).expand(30, -1, -1), range(30))
    assert len({picture.numpy().tobytes() for picture in pictures}) == 30


@EACH
def test_stored_images_and_the_global_generator_stay_as_they_were(kind: str, number: int) -> None:
    pixels, state = radiographs(4), torch.get_rng_state()
    views(kind)[number](pixels, range(4))
    assert torch.equal(pixels, radiographs(4))
    assert torch.equal(torch.get_rng_state(), state)


def test_mae_takes_one_view_and_moco_v3_two() -> None:
    for kind in ("crop", "paper", "mocov3"):
        assert len(views(kind, method="mae")) == 1
        assert len(views(kind, method="mocov3")) == 2


def test_only_the_two_views_of_moco_v3_are_unlike() -> None:
    pixels, seeds = radiographs(6), range(6)
    alike = {
        kind: torch.equal(*(view(pixels, seeds) for view in views(kind, method="mocov3")))
        for kind in ("crop", "paper", "mocov3")
    }
    assert alike == {"crop": True, "paper": True, "mocov3": False}


# Crop and flip


def plain_crop(
    image: Tensor,
    seed: int,
    scale: tuple[float, float],
    size: int = SEEN,
    interpolation: InterpolationMode = InterpolationMode.BICUBIC,
) -> Image:
    """What torchvision draws for one image at a seed, in 0..1."""
    cropping = v2.RandomResizedCrop(size, scale, interpolation=interpolation)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        box = cropping.make_params([image[None]])
        flips = float(torch.rand(1)) < 0.5
    top, left = box["top"], box["left"]
    kept = image[None, top : top + box["height"], left : left + box["width"]]
    picture = F.resize(kept, [size, size], interpolation, antialias=True)[0]
    return np.asarray(picture.flip(-1) if flips else picture, dtype=np.float64) / 255


@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.08, 0.3), WHOLE])
def test_a_crop_equals_torchvisions_of_one_image(scale: tuple[float, float]) -> None:
    pixels, seeds = radiographs(80), [2**62 + 31 * place for place in range(80)]
    seen = in_shares(views("crop", crop_scale=scale)[0](pixels, seeds))
    for picture, image, seed in zip(seen, pixels, seeds, strict=True):
        np.testing.assert_allclose(picture.numpy(), plain_crop(image, seed, scale), atol=1e-5)


def test_without_a_crop_half_of_the_images_are_flipped() -> None:
    """On a square image a crop of all of the area is the whole of it, whatever ratio is drawn."""
    pixels = radiographs(400, SEEN)
    seen = in_shares(views("crop", crop_scale=WHOLE)[0](pixels, range(400)))
    same, flipped = (
        (seen - image.double() / 255).abs().amax(dim=(1, 2)) < 1e-5
        for image in (pixels, pixels.flip(-1))
    )
    assert torch.equal(same, ~flipped)
    assert same.double().mean() == pytest.approx(0.5, abs=0.1)  # 4 standard deviations


# Jitter, blur and solarisation


def plain_moco(
    image: Tensor, seed: int, number: int, kernel: int, size: int, scale: tuple[float, float]
) -> Image:
    """One image after the definition: brightness and contrast by 0.4 with p = 0.8, a Gaussian blur
    of sigma 0.1 to 2, solarisation from one half on. Torchvision's jitter draws its order."""
    draws = uniforms([seed], 7)[:, 0].tolist()
    jitter, brightness, contrast, blur, sigma, solarise, order = draws
    x = plain_crop(image, seed, scale, size, InterpolationMode.BILINEAR)

    def lighted(x: Image) -> Image:
        return (x * (0.6 + 0.8 * brightness)).clip(0, 1)

    def contrasted(x: Image) -> Image:
        return (x.mean() + (0.6 + 0.8 * contrast) * (x - x.mean())).clip(0, 1)

    if jitter < 0.8:
        x = contrasted(lighted(x)) if order < 0.5 else lighted(contrasted(x))
    if blur < BLURRED[number]:
        x = blurred(x, kernel, 0.1 + 1.9 * sigma)
    if solarise < SOLARISED[number]:
        x = np.where(x >= 0.5, 1 - x, x)
    return x


def blurred(x: Image, kernel: int, sigma: float) -> Image:
    """Both axes, one after the other, with weights exp(-d^2 / 2 sigma^2), mirrored at the edge."""
    reach = kernel // 2
    weights = np.array([math.exp(-(d**2) / (2 * sigma**2)) for d in range(-reach, reach + 1)])
    for _ in range(2):
        padded = np.pad(x, ((reach, reach), (0, 0)), mode="reflect")
        shifted = [padded[d : d + len(x)] for d in range(kernel)]
        x = np.tensordot(weights / weights.sum(), np.stack(shifted), axes=1).T
    return x


# BYOL's 23 of 224 pixels, as an odd number of the smaller image's.
@pytest.mark.parametrize(("size", "kernel"), [(32, 3), (96, 11), (224, 23)])
@pytest.mark.parametrize("number", [0, 1])
def test_a_view_of_moco_v3_equals_its_definition(number: int, size: int, kernel: int) -> None:
    count = {32: 120, 96: 60, 224: 12}[size]
    pixels, seeds = radiographs(count), [2**60 + 17 * place for place in range(count)]
    scale = (0.2, 0.9)
    view = views("mocov3", backbone(size=size), crop_scale=scale)[number]
    for picture, image, seed in zip(in_shares(view(pixels, seeds)), pixels, seeds, strict=True):
        expected = plain_moco(image, seed, number, kernel, size, scale)
        np.testing.assert_allclose(picture.numpy(), expected, atol=2e-5)


MANY = 700


def of_moco(image: Image, number: int) -> Tensor:
    """The same whole image at many seeds."""
    pixels = torch.from_numpy(image.round().astype(np.uint8)).expand(MANY, -1, -1)
    return in_shares(views("mocov3", crop_scale=WHOLE)[number](pixels, range(MANY)))


@pytest.mark.parametrize("number", [0, 1])
def test_how_often_a_view_is_solarised(number: int) -> None:
    """Light grey stays above one half whatever the jitter, unless it is inverted."""
    level = of_moco(np.full((SEEN, SEEN), 230.0), number)[:, 0, 0]
    share = (level < 0.5).double().mean()
    assert share == pytest.approx(SOLARISED[number], abs=0.06 * (number > 0))


@pytest.mark.parametrize("number", [0, 1])
def test_how_often_and_how_far_a_view_is_jittered(number: int) -> None:
    """Dark grey knows brightness alone, and is not solarised."""
    grey = 85.0
    factor = of_moco(np.full((SEEN, SEEN), grey), number)[:, 0, 0] * 255 / grey
    changed = factor[(factor - 1).abs() > 1e-5]
    assert len(changed) / MANY == pytest.approx(0.8, abs=0.06)
    assert 0.6 - 1e-5 < changed.min() < 0.61
    assert 1.39 < changed.max() < 1.4 + 1e-5
    assert changed.mean() == pytest.approx(1.0, abs=0.04)


def waves(dark: float = 70.0) -> Image:
    """Columns of the highest frequency and of one eighth of it, too dark to be solarised."""
    column = np.arange(SEEN)
    fine, coarse = np.cos(math.pi * column), np.sqrt(2) * np.cos(math.pi / 8 * column)
    return np.tile(dark + 8 * fine + 8 * coarse, (SEEN, 1))


@pytest.mark.parametrize("number", [0, 1])
def test_how_often_a_view_is_blurred(number: int) -> None:
    """Jitter keeps the proportion of fine to coarse; a blur of the least sigma keeps it as well."""
    seen, still = of_moco(waves(), number), torch.from_numpy(waves().round() / 255)
    sharpness = fine_to_coarse(seen) / fine_to_coarse(still)
    # With 3 weights 1 - 4 e of the fine columns is left, e = exp(-1 / 2 sigma^2) below 0.001 here.
    unseen = (math.sqrt(1 / (2 * math.log(1 / 0.00025))) - 0.1) / 1.9
    blurred_share = (sharpness < 0.999).double().mean()
    assert blurred_share == pytest.approx(BLURRED[number] * (1 - unseen), abs=0.045)


def fine_to_coarse(x_BHW: Tensor) -> Tensor:
    spectrum_BF: Tensor = torch.fft.rfft(x_BHW[..., SEEN // 2, :]).abs()
    return spectrum_BF[..., SEEN // 2] / spectrum_BF[..., SEEN // 16]


# The paper's


def ramps(across: bool) -> Tensor:
    """Grey that tells its column or its row: uint8 [1, S, S], 8 for each pixel."""
    grey = torch.arange(0, 8 * SEEN, 8, dtype=torch.uint8).expand(1, SEEN, SEEN)
    return grey if across else grey.mT


def geometry(scale: tuple[float, float], count: int = 600) -> tuple[Tensor, Tensor]:
    """Where the middle of each view looks, and how that changes there, in pixels of the image: read
    off two pictures of the same seeds that show their column and their row."""
    view, middle = views("paper", crop_scale=scale)[0], slice(SEEN // 2 - 1, SEEN // 2 + 1)
    places = [
        in_shares(view(ramps(across).expand(count, -1, -1), range(count)))[:, middle, middle]
        * (255 / 8)
        for across in (True, False)
    ]
    looks_B222 = torch.stack(places, dim=1)
    along_B2 = looks_B222.diff(dim=3).mean(dim=(2, 3))
    down_B2 = looks_B222.diff(dim=2).mean(dim=(2, 3))
    return looks_B222.mean(dim=(2, 3)), torch.stack([along_B2, down_B2], dim=2)


def test_crops_of_one_half_keep_half_of_the_area() -> None:
    _, change_B22 = geometry((0.5, 0.5))
    torch.testing.assert_close(
        change_B22.det().abs(), torch.full((600,), 0.5).double(), rtol=0, atol=1e-4
    )


def test_crops_of_everything_neither_zoom_nor_shift() -> None:
    centres_B2, change_B22 = geometry(WHOLE)
    torch.testing.assert_close(change_B22.det().abs(), torch.ones(600).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        centres_B2, torch.full_like(centres_B2, (SEEN - 1) / 2), rtol=0, atol=1e-3
    )


def test_the_area_kept_is_uniform_between_both_ends() -> None:
    _, change_B22 = geometry((0.2, 0.6))
    area_B = change_B22.det().abs()
    assert 0.2 - 1e-4 < area_B.min() < 0.21
    assert 0.59 < area_B.max() < 0.6 + 1e-4
    counts = torch.histc(area_B, 4, 0.2, 0.6)
    assert counts == pytest.approx(torch.full((4,), 150.0), abs=43)  # 4 standard deviations


def test_flips_and_rotations_are_the_papers() -> None:
    _, change_B22 = geometry((0.3, 1.0))
    flipped_B = change_B22.det() < 0
    assert flipped_B.double().mean() == pytest.approx(0.5, abs=0.08)  # 4 standard deviations
    # The second column is the way down, which a flip leaves alone.
    angle_B = torch.rad2deg(torch.atan2(change_B22[:, 0, 1], change_B22[:, 1, 1]))
    assert -7 - 1e-2 < angle_B.min() < -6.8
    assert 6.8 < angle_B.max() < 7 + 1e-2
    assert angle_B.mean() == pytest.approx(0.0, abs=0.7)
    # Both sides of a square stay as long as each other, and at right angles.
    gram_B22 = change_B22.mT @ change_B22
    torch.testing.assert_close(gram_B22[:, 0, 0], gram_B22[:, 1, 1], rtol=0, atol=1e-3)
    assert gram_B22[:, 0, 1].abs().max() < 1e-3


def test_a_crop_lies_anywhere_within_the_image() -> None:
    """Half of the area: its middle is at most (1 - sqrt 0.5) / 2 of a side off the image's."""
    centres_B2, _ = geometry((0.5, 0.5))
    off_B2 = (centres_B2 - (SEEN - 1) / 2) / SEEN
    most = (1 - math.sqrt(0.5)) / 2
    assert off_B2.abs().max() < most + 1e-3
    assert (off_B2.amax(dim=0) > 0.97 * most).all()
    assert (off_B2.amin(dim=0) < -0.97 * most).all()
