"""Published checkpoints -> timm's names, with every backbone tensor accounted for, or an error.

A reader is one function and one line in `READERS`: it gives a checkpoint's tensors timm's names
and drops those that belong to no backbone. `convert` then compares them with the network, which is
built without allocating memory, and refuses whatever is missing, unexpected or of another shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import HEADS
from fairfm_core.config.zoo import MAPPING_REVISION, FoundationModel, check_format
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.models.checkpoints.bit import read_bit, read_remedis
from fairfm_core.models.checkpoints.efficientnet_lite import read_efficientnet_lite
from fairfm_core.models.checkpoints.huggingface import read_huggingface
from fairfm_core.models.checkpoints.published import CheckpointSource, Published
from fairfm_core.models.checkpoints.torch_files import read_state_dict
from fairfm_core.models.checkpoints.vit import read_mae, read_mocov3
from fairfm_core.models.position_tables import table_origin
from fairfm_core.models.weights.converted import ConvertedWeights, tensors_sha256, write_weights
from fairfm_core.models.weights.coverage import (
    Coverage,
    file_pool,
    head_names,
    meta_network,
    parameter_count,
    refuse_difference,
    shapes,
)
from fairfm_core.models.weights.diagnosis import Difference
from fairfm_core.models.weights.hidden import (
    attention_heads,
    hidden_difference,
    refuse_unknown_heads,
    stated_network,
)
from fairfm_core.models.weights.probe import probed, refuse_other_features
from fairfm_core.models.weights.provenance import About, files_sha256
from fairfm_core.models.weights.stated import Stated

Reader = Callable[[CheckpointSource, nn.Module], Published]


def read_timm(source: CheckpointSource, network: nn.Module) -> Published:
    """A state dict under timm's own names."""
    return read_state_dict(source, network)


READERS: dict[str, Reader] = {
    "mae": read_mae,
    "mocov3": read_mocov3,
    "bit": read_bit,
    "remedis": read_remedis,
    "timm": read_timm,
    "huggingface": read_huggingface,
    "efficientnet_lite": read_efficientnet_lite,
}


@dataclass(frozen=True)
class Converted:
    """A checkpoint that fills its backbone completely.

    Attributes:
        model: the record it was read for.
        format: the format it was read as.
        tensors: the backbone's tensors under timm's names, float32 (counters int64).
        parameters: number of trainable parameters in them.
        sha256: of the source.
        dropped: names in the source that are not the backbone's, by reason.
        heads: number of attention heads; None for a network without attention.
        key: of the weights in the file, if it was given.
        prefix: of the names in the file, if it was given.
    """

    model: FoundationModel
    format: str
    tensors: dict[str, Tensor]
    parameters: int
    sha256: str
    dropped: dict[str, tuple[str, ...]]
    heads: int | None = None
    key: str | None = None
    prefix: str | None = None

    def coverage(self) -> Coverage:
        """The coverage report."""
        return Coverage(len(self.tensors), self.parameters, (), self.dropped, self.sha256)

    def position_table(self) -> str:
        """Origin of its position embeddings; empty for a network without any."""
        positions = self.tensors.get("pos_embed")
        return "" if positions is None else table_origin(positions)

    def about(self) -> About:
        """The record in the converted file."""
        return About(
            model=self.model.id,
            format=self.format,
            source_sha256=self.sha256,
            tensors_sha256=tensors_sha256(self.tensors),
            mapping_revision=MAPPING_REVISION,
            licence=self.model.licence,
            loaded=len(self.tensors),
            backbone=self.model.network(),
            heads=self.heads,
            key=self.key,
            prefix=self.prefix,
        )

    def weights(self, path: Path) -> ConvertedWeights:
        """The weights as they would be read from the file that `write` writes."""
        return ConvertedWeights(path, self.about(), self.tensors, self.sha256)

    def write(self, path: Path) -> None:
        """Write the safetensors file that training reads, with a probe of its features.

        Raises BadInput if that fails, or if the features are not those that the model's publisher
        gives.
        """
        weights = self.weights(path)
        refuse_unexpected(self.model, weights)
        write_weights(self.tensors, probed(weights).about, path)


def convert(
    model: FoundationModel, path: Path, key: str | None = None, prefix: str | None = None
) -> Converted:
    """The published checkpoint at `path` as the backbone of `model`.

    `key` and `prefix` say where in the checkpoint its tensors are, if that is not plain.

    Raises:
        BadInput: the model has random weights, the file cannot be read, it does not give every
            tensor of the backbone and nothing else (with the first names and the likely mistake),
            or the number of attention heads is another one, or stated nowhere.
    """
    if model.format is None:
        raise BadInput(f"{model.id} has random weights: there is nothing to convert")
    backbone = model.network()
    network = meta_network(backbone)
    source = CheckpointSource(path, key, prefix)
    published = READERS[check_format(model.format)](source, network)
    tensors, dropped = _without_head(published, network)
    network = meta_network(backbone, file_pool(backbone, tensors))
    difference = Difference(shapes(network.state_dict()), shapes(tensors), dropped)
    refuse_difference(difference, str(path), backbone.name)
    _refuse_whole_numbers(tensors, network, path)
    plain = {name: _plain(tensors[name]) for name in difference.expected}
    _refuse_non_finite(plain, path)
    _check_hidden(published.stated, model, path, network)
    parameters = parameter_count(network, plain)
    sha256 = files_sha256(published.files)
    heads = attention_heads(network)
    return Converted(model, model.format, plain, parameters, sha256, dropped, heads, key, prefix)


def _check_hidden(stated: Stated, model: FoundationModel, path: Path, network: nn.Module) -> None:
    """Check what no shape shows against what the file and the model's record say of it."""
    backbone, count = model.network(), attention_heads(network)
    for heads in (stated.heads, model.heads):
        if heads not in (None, count):
            raise BadInput(
                f"{path} was trained with {heads} attention heads, the network has "
                f"{count or 'none'}: its features would be wrong; write heads: {heads} under "
                f"weights (--heads {heads})"
            )
    named = stated_network(stated, backbone)
    if named is not None and (unlike := hidden_difference(named, network)):
        raise BadInput(
            f"{path} says that it is of {stated.architecture}, which has {unlike}: read it with "
            f"backbone: {{name: {stated.architecture}}}"
        )
    known = stated.heads or model.heads or backbone.options.get(HEADS) or named is not None
    if not known:
        refuse_unknown_heads(str(path), backbone, network)


def refuse_unexpected(model: FoundationModel, weights: ConvertedWeights) -> None:
    """Raises BadInput if the weights give other features than the model's publisher does."""
    if model.features:
        refuse_other_features(weights, model.features, f"that the publisher of {model.id} gives")


def _without_head(
    published: Published, network: nn.Module
) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]:
    """The tensors without the classifier's, whose classes are not those of the study."""
    heads = tuple(name for name in head_names(network) if name in published.tensors)
    kept = {name: value for name, value in published.tensors.items() if name not in heads}
    return kept, published.dropped | ({"classification head": heads} if heads else {})


def _plain(tensor: Tensor) -> Tensor:
    """A copy of the tensor, in single precision unless it is a counter."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True).contiguous()


def _refuse_whole_numbers(tensors: dict[str, Tensor], network: nn.Module, path: Path) -> None:
    """A quantised checkpoint has the right names and shapes but is another network."""
    weights = [name for name, value in network.state_dict().items() if value.is_floating_point()]
    whole = [name for name in weights if not tensors[name].is_floating_point()]
    if whole:
        kinds = ", ".join(sorted({str(tensors[name].dtype) for name in whole}))
        raise BadInput(f"{path} holds {kinds} where weights should be, in {first_ten(whole)}")


def _refuse_non_finite(tensors: dict[str, Tensor], path: Path) -> None:
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise BadInput(f"{path} holds NaN or infinity in {first_ten(broken)}")
