"""Masked autoencoder against the paper's steps, written out image by image and patch by patch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.zoo import MAPPING_REVISION
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.mae import (
    MaskedAutoencoder,
    patches_at,
    patchify,
    random_masking,
)
from fairfm_core.models.position_tables import mae_table, table_origin
from fairfm_core.models.weights.converted import tensors_sha256, write_weights
from fairfm_core.models.weights.loading import load_weights
from fairfm_core.models.weights.provenance import About

torch.set_num_threads(1)

PATCH, GRID, DIM, DEPTH = 4, 4, 24, 2
SIZE, PATCHES = PATCH * GRID, GRID * GRID
TINY = {"patch_size": PATCH, "embed_dim": DIM, "depth": DEPTH, "num_heads": 3}
NAME = "vit_tiny_patch16_224"


def tiny(channels: int = 1, image_size: int = SIZE, **options: object) -> Backbone:
    return Backbone(name=NAME, image_size=image_size, channels=channels, options=TINY | options)


def mae(backbone: Backbone | None = None, **changes: object) -> MaskedAutoencoder:
    decoder = {"decoder_dim": 16, "decoder_depth": 2, "decoder_heads": 2}
    return MaskedAutoencoder(backbone or tiny(), **({"seed": 0} | decoder | changes))


def moved(model: MaskedAutoencoder) -> MaskedAutoencoder:
    """The model in float64 with biases and norms away from 0 and 1, so that each counts."""
    generator = torch.Generator().manual_seed(5)
    model.double()
    for value in model.parameters():
        if value.requires_grad:
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            value.data.add_(0.1 * noise)
    return model


def images(count: int = 3, channels: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, SIZE, SIZE, generator=generator, dtype=dtype)


def noise(count: int = 3, patches: int = PATCHES, seed: int = 2) -> Tensor:
    return torch.rand(count, patches, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("patches", "ratio", "visible"), [(196, 0.75, 49), (196, 0.9, 19), (16, 0.75, 4), (5, 0.5, 2)]
)
def test_the_share_of_visible_patches(patches: int, ratio: float, visible: int) -> None:
    masking = random_masking(noise(7, patches), ratio)
    assert masking.visible_BV.shape == (7, visible)
    assert masking.masked_BM.shape == (7, patches - visible)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 4), st.floats(0, 1), st.integers(0, 99))
def test_every_patch_is_either_seen_or_hidden(
    patches: int, count: int, ratio: float, seed: int
) -> None:
    noise_BN = noise(count, patches, seed)
    masking = random_masking(noise_BN, ratio)
    visible = int(patches * (1 - ratio))
    for values, seen, unseen in zip(noise_BN, *masking, strict=True):
        assert len(seen) == visible
        assert sorted([*seen.tolist(), *unseen.tolist()]) == list(range(patches))
        assert set(values[seen].tolist()) == set(values.sort().values[:visible].tolist())


def test_patches_and_pairs_of_them_are_equally_often_visible() -> None:
    draws, visible = 20_000, 4
    masking = random_masking(noise(draws, PATCHES), 0.75)
    seen = torch.zeros(draws, PATCHES).scatter_(1, masking.visible_BV, 1.0)
    together = seen.T @ seen / draws
    single = visible / PATCHES
    pair = single * (visible - 1) / (PATCHES - 1)
    expected = torch.full((PATCHES, PATCHES), pair).fill_diagonal_(single)
    errors = (expected * (1 - expected) / draws).sqrt()
    assert ((together - expected) / errors).abs().max() < 4.5


def test_each_image_has_a_mask_of_its_own() -> None:
    seen = random_masking(noise(50, 196), 0.75).visible_BV.sort().values
    assert len({tuple(row.tolist()) for row in seen}) == 50


def test_equal_noise_hides_later_patches() -> None:
    assert random_masking(torch.zeros(1, 8), 0.5).visible_BV.tolist() == [[0, 1, 2, 3]]


def test_noise_is_its_generators_alone() -> None:
    model = mae()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    drawn = model.noise(4, torch.Generator().manual_seed(9))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(drawn, model.noise(4, torch.Generator().manual_seed(9)))
    assert drawn.shape == (4, PATCHES)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_patch_is_what_is_cut_out(channels: int) -> None:
    x = images(2, channels)
    for place, found in enumerate(patchify(x, PATCH)[1]):
        assert torch.equal(found, cut(x[1], place).flatten())


def cut(image_CHW: Tensor, place: int) -> Tensor:
    """A patch [C, p, p]; places run along the rows of the image."""
    top, left = PATCH * (place // GRID), PATCH * (place % GRID)
    return image_CHW[:, top : top + PATCH, left : left + PATCH]


def wave(place: int, dim: int) -> Tensor:
    """MAE's position of a patch: sine and cosine of its column, then of its row."""
    row, column = divmod(place, GRID)
    quarter = dim // 4
    numbers = [
        turn(number / 10000 ** (k / quarter))
        for number in (column, row)
        for turn in (math.sin, math.cos)
        for k in range(quarter)
    ]
    # The model's table is of float32 numbers.
    return torch.tensor(numbers, dtype=torch.float32).double()


def expected_encoding(model: MaskedAutoencoder, image_CHW: Tensor, seen: list[int]) -> Tensor:
    """Tokens [1 + V, D] of the patches that are seen, in the image's order."""
    vit = model.encoder
    tokens = [vit.cls_token[0, 0]]
    for place in seen:
        projected = vit.patch_embed.proj(cut(image_CHW, place)[None])[0, :, 0, 0]
        tokens.append(projected + wave(place, DIM))
    x = torch.stack(tokens)[None]
    for block in vit.blocks:
        x = block(x)
    return vit.norm(x)[0]


def expected_pixels(model: MaskedAutoencoder, image_CHW: Tensor, seen: list[int]) -> list[Tensor]:
    """Each patch's predicted pixels [P], seen or not, in the image's order."""
    dim = model.decoder_embed.out_features
    known = model.decoder_embed(expected_encoding(model, image_CHW, seen))
    tokens = [known[0]]
    for place in range(PATCHES):
        there = known[1 + seen.index(place)] if place in seen else model.mask_token[0, 0]
        tokens.append(there + wave(place, dim))
    x = torch.stack(tokens)[None]
    for block in model.decoder_blocks:
        x = block(x)
    return [model.decoder_pred(model.decoder_norm(token)) for token in x[0, 1:]]


def expected_loss(
    model: MaskedAutoencoder, images_BCHW: Tensor, noise_BN: Tensor, kept: int, norm_pix: bool
) -> Tensor:
    losses = []
    for image_CHW, values in zip(images_BCHW, noise_BN.tolist(), strict=True):
        seen = sorted(sorted(range(PATCHES), key=lambda place: values[place])[:kept])
        pixels = expected_pixels(model, image_CHW, seen)
        for place in range(PATCHES):
            if place not in seen:
                target = cut(image_CHW, place).flatten()
                if norm_pix:
                    centred = target - target.sum() / len(target)
                    variance = (centred**2).sum() / (len(target) - 1)
                    target = centred / (variance + 1e-6) ** 0.5
                losses.append(((pixels[place] - target) ** 2).sum() / len(target))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("norm_pix", [True, False])
@pytest.mark.parametrize(("channels", "ratio", "kept"), [(1, 0.75, 4), (3, 0.5, 8), (1, 0.9, 1)])
def test_loss_and_gradients_are_the_papers(
    norm_pix: bool, channels: int, ratio: float, kept: int
) -> None:
    model = moved(mae(tiny(channels), norm_pix=norm_pix, mask_ratio=ratio))
    x, values = images(3, channels, torch.float64), noise()
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    loss = model(x, values)
    gradients = torch.autograd.grad(loss, list(trained.values()))
    expected = expected_loss(model, x, values, kept, norm_pix)
    wanted = torch.autograd.grad(expected, list(trained.values()))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for name, found, want in zip(trained, gradients, wanted, strict=True):
        assert want.abs().max() > 1e-9, name
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12, msg=name)
    assert not model.encoder.pos_embed.requires_grad


@torch.no_grad()
@pytest.mark.parametrize("name", [NAME, "deit_tiny_patch16_224", "vit_base_patch16_clip_224"])
def test_with_all_patches_the_encoder_is_timms(name: str) -> None:
    model = mae(Backbone(name=name, image_size=SIZE, options=TINY)).eval()
    x = images(2, 3)
    places = torch.arange(PATCHES).expand(2, -1)
    expected = model.encoder.forward_features(x)
    torch.testing.assert_close(model.encode(patchify(x, PATCH), places), expected)
    back = places.flip(1)
    turned = model.encode(patchify(x, PATCH).flip(1), back)
    torch.testing.assert_close(turned[:, 1:].flip(1), expected[:, 1:])


def test_no_gradient_reaches_the_targets() -> None:
    model, x, values = mae(), images().requires_grad_(), noise()
    (gradient,) = torch.autograd.grad(model(x, values), x)
    of_patches = patchify(gradient, PATCH)
    masking = random_masking(values, 0.75)
    assert patches_at(of_patches, masking.masked_BM).eq(0).all()
    assert patches_at(of_patches, masking.visible_BV).ne(0).any(dim=2).all()


def test_targets_have_no_level_and_unit_spread() -> None:
    model = mae()
    patches = 50 + 20 * patchify(images(), PATCH)
    targets = model.targets(patches)
    assert targets.mean(dim=2).abs().max() < 1e-5
    torch.testing.assert_close(targets.var(dim=2), torch.ones(3, PATCHES))
    assert model.targets(torch.full((1, 1, 16), 7.0)).eq(0).all()
    assert torch.equal(mae(norm_pix=False).targets(patches), patches)


def test_the_loss_is_of_32_bits_in_mixed_precision() -> None:
    model = mae()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(images(), noise())
        assert model.targets(patchify(images(), PATCH).bfloat16()).dtype == torch.float32
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, model(images(), noise()), rtol=0.02, atol=0)
    assert model.bfloat16()(images().bfloat16(), noise()).dtype == torch.float32


def test_hidden_pixels_are_not_seen() -> None:
    model, x, values = mae(), images(), noise()
    masking = random_masking(values, 0.75)
    other = patchify(x + 1, PATCH).scatter(
        1,
        masking.visible_BV[:, :, None].expand(-1, -1, PATCH * PATCH),
        patches_at(patchify(x, PATCH), masking.visible_BV),
    )
    found, again = (model.predict(each, masking) for each in (patchify(x, PATCH), other))
    assert torch.equal(found, again)


def test_position_tables_are_fixed_and_maes() -> None:
    model = mae()
    assert table_origin(model.encoder.pos_embed) == "MAE's sine-cosine"
    assert torch.equal(model.get_buffer("decoder_pos_embed"), mae_table(GRID, 16))
    for dim, table in ((DIM, model.encoder.pos_embed), (16, model.get_buffer("decoder_pos_embed"))):
        assert table[0, 0].eq(0).all()
        for place in range(PATCHES):
            torch.testing.assert_close(table[0, 1 + place].double(), wave(place, dim))
    assert {name for name, value in model.named_parameters() if not value.requires_grad} == {
        "encoder.pos_embed"
    }


def test_initialisation() -> None:
    model = mae(tiny(3, embed_dim=192, num_heads=3), decoder_dim=128)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    layers["encoder.patch_embed.proj"] = model.encoder.patch_embed.proj
    assert len(layers) == 4 * 4 + 3
    for layer in layers.values():
        rows, columns = layer.weight.flatten(1).shape
        bound = math.sqrt(6 / (rows + columns))
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert layer is model.encoder.patch_embed.proj or layer.bias.eq(0).all()
    # The official code sets no bias of the patch projection: it keeps torch's for a convolution.
    bias, bound = model.encoder.patch_embed.proj.bias, 1 / math.sqrt(3 * PATCH**2)
    assert 0.9 * bound < bias.abs().max() <= bound
    assert bias.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
    for token in (model.encoder.cls_token, model.mask_token):
        assert token.std().item() == pytest.approx(0.02, rel=0.25)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.LayerNorm)]
    assert all(n.eps == 1e-6 and n.weight.eq(1).all() and n.bias.eq(0).all() for n in norms)


def test_weights_follow_from_the_seed_alone() -> None:
    first = mae().state_dict()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    again = mae().state_dict()
    assert torch.equal(torch.rand(3), expected)
    other = mae(seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    moves = {name for name in first if not torch.equal(first[name], other[name])}
    assert {"encoder.blocks.0.attn.qkv.weight", "mask_token", "decoder_pred.weight"} <= moves


def test_the_same_images_noise_and_seed_give_the_same_loss() -> None:
    losses = [mae()(images(), noise()) for _ in range(2)]
    assert torch.equal(*losses)
    assert not torch.equal(losses[0], mae()(images(), noise(seed=3)))


def test_the_decoder_of_the_paper() -> None:
    with torch.device("meta"):
        backbone = Backbone(name="vit_base_patch16_224")
        model = MaskedAutoencoder(backbone, seed=0)
        assert model(torch.empty(2, 3, 224, 224), torch.empty(2, 196)).shape == ()
    assert len(model.decoder_blocks) == 8
    assert model.decoder_blocks[0].attn.num_heads == 16
    assert model.decoder_embed.weight.shape == (512, 768)
    assert model.decoder_pred.weight.shape == (768, 512)
    # As many tensors as the published files have: of the encoder, and with the decoder.
    assert len(model.encoder.state_dict()) == 150
    assert len(model.state_dict()) == 254
    assert sum(value.numel() for value in model.encoder.state_dict().values()) == 85_798_656


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The encoder of a model that took a step, as a converted file."""
    model = moved(mae()).float()
    tensors = model.encoder.state_dict()
    about = About(
        model="ours",
        format="timm",
        source_sha256="0" * 64,
        tensors_sha256=tensors_sha256(tensors),
        mapping_revision=MAPPING_REVISION,
        licence="none",
        loaded=len(tensors),
        backbone=tiny(),
    )
    write_weights(tensors, about, tmp_path / "mae.safetensors")
    return tmp_path / "mae.safetensors"


@torch.no_grad()
def test_the_encoder_fills_a_probe(file: Path) -> None:
    network = build_backbone(tiny(), method="linear_probe", pool="token", classes=0, seed=7).eval()
    coverage = load_weights(network, file, "token")
    model = moved(mae()).float().eval()
    assert coverage.missing == ()
    assert coverage.dropped == {}
    assert coverage.loaded == len(network.state_dict()) == len(model.encoder.state_dict())
    places = torch.arange(PATCHES).expand(3, -1)
    token = model.encode(patchify(images(), PATCH), places)[:, 0]
    torch.testing.assert_close(network(images()), token)


def test_the_encoder_fills_a_network_to_fine_tune(file: Path) -> None:
    network = build_backbone(tiny(), method="end_to_end", pool="avg", classes=3, seed=7)
    coverage = load_weights(network, file, "avg")
    assert set(coverage.missing) == {
        f"{n}.{p}" for n in ("fc_norm", "head") for p in ("weight", "bias")
    }
    dropped = coverage.dropped["the norm of the class token"]
    assert sorted(dropped) == [f"norm.{part}" for part in ("bias", "weight")]
    assert network.pos_embed.requires_grad
    assert table_origin(network.pos_embed.detach()) == "MAE's sine-cosine"


def test_the_encoder_knows_nothing_of_the_decoder() -> None:
    names = set(mae().encoder.state_dict())
    plain = build_backbone(tiny(), method="linear_probe", pool="token", classes=0, seed=0)
    assert names == set(plain.state_dict())
    assert not [name for name in names if "decoder" in name or "mask" in name]


def test_only_visible_patches_pass_the_encoder() -> None:
    model = mae()
    seen: list[tuple[int, int]] = []
    for block in [*model.encoder.blocks, *model.decoder_blocks]:
        block.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[:2]))
    predicted: list[int] = []
    model.decoder_pred.register_forward_pre_hook(
        lambda _, given: predicted.append(len(given[0][0]))
    )
    model(images(), noise())
    assert seen == [(3, 1 + 4)] * DEPTH + [(3, 1 + PATCHES)] * 2
    assert predicted == [PATCHES - 4]


@torch.no_grad()
def test_operations_of_a_quarter_of_the_patches() -> None:
    model = mae(tiny(image_size=64))
    patches_BNP = patchify(torch.zeros(2, 1, 64, 64), PATCH)

    def operations(visible: int) -> int:
        # The counter knows attention only where it is made of plain products.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            places = torch.arange(visible).expand(2, -1)
            model.encode(patches_BNP[:, :visible], places)
        return counter.get_total_flops()

    def expected(visible: int) -> int:
        tokens = 1 + visible
        products = tokens * 12 * DIM * DIM + 2 * tokens * tokens * DIM
        return 2 * 2 * (DEPTH * products + visible * PATCH * PATCH * DIM)

    assert operations(256) == expected(256)
    assert operations(64) == expected(64)
    assert operations(256) / operations(64) > 4


@pytest.mark.slow
def test_it_learns_what_hidden_patches_hold() -> None:
    model = mae(decoder_dim=32, norm_pix=False)
    ramp = torch.linspace(-1, 1, SIZE)
    slopes = torch.linspace(-1, 1, 8)[:, None, None, None]
    x = slopes * ramp[None, None, None, :].expand(8, 1, SIZE, SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(200):
        loss = model(x, model.noise(8, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Without a look at the visible patches the slope is unknown: the variance of the pixels.
    assert sum(losses[-10:]) / 10 < 0.1 * x.var().item()


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (Backbone(name="test_resnet"), "'test_resnet' needs timm's VisionTransformer on plain"),
        (Backbone(name="eva02_tiny_patch14_224", image_size=28, options={"depth": 1}), "on plain"),
        (Backbone(name="vit_tiny_r_s16_p8_224", image_size=32), "needs timm's .* on plain patches"),
        (tiny(class_token=False), "class token"),
        (tiny(reg_tokens=2), "position embeddings of one class token and the patches"),
        (tiny(no_embed_class=True), "position embeddings of one class token and the patches"),
        (tiny(pos_embed="none"), "position embeddings of one class token and the patches"),
        (tiny(embed_dim=18), "a width that is a multiple of 4"),
        (tiny(patch_size=[4, 8]), "square patches of 2 pixels or more"),
        (tiny(patch_size=1), "square patches of 2 pixels or more"),
        (tiny(image_size=18), "an image_size that is a multiple of its patch's 4"),
        (tiny(patch_drop_rate=0.5), "patch_drop_rate 0"),
        (Backbone(name="vit_tiny_patch16_225"), "did you mean"),
    ],
)
def test_backbones_that_are_refused(backbone: Backbone, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        mae(backbone)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_dim": 18}, "a decoder_dim that is a multiple of 4"),
        ({"decoder_dim": 0}, "a decoder_dim that is a multiple of 4"),
        ({"decoder_heads": 3}, "a decoder_dim that its heads divide"),
        ({"decoder_heads": 0}, "1 or more decoder blocks and heads"),
        ({"decoder_depth": 0}, "1 or more decoder blocks and heads"),
        ({"mask_ratio": 0.0}, "leaves some of 16 patches visible and some hidden"),
        ({"mask_ratio": 0.95}, "leaves some of 16 patches visible and some hidden"),
    ],
)
def test_decoders_and_ratios_that_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        mae(**changes)
    assert "\n" not in str(caught.value)


def test_images_and_noise_must_be_the_models() -> None:
    with pytest.raises(AssertionError):
        mae()(torch.zeros(2, 1, 20, 20), noise(2))
    with pytest.raises(AssertionError):
        mae()(images(), noise(3, 9))
