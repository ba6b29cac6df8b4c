"""Images of a corpus of several data sets: the same batches in whatever order these are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fairfm_core.data.corpora.corpus import open_corpora, pretraining_corpus
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.errors import BadInput
from fairfm_core.training.pretraining.corpus_images import corpus_images


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two phantom worlds and patches of photographs."""
    made = [tmp_path_factory.mktemp("corpora") / name for name in "abc"]
    prepare("phantom", "unfair", made[0], 16, patients=40, seed=1)
    prepare("phantom", "unfair", made[1], 16, patients=30, seed=2)
    prepare("photographs", "sklearn", made[2], 16, patches=50)
    return [str(folder) for folder in made]


@pytest.mark.parametrize("fraction", [1.0, 0.6])
@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_the_order_of_corpora_changes_no_batch(
    folders: list[str], order: tuple[int, ...], fraction: float
) -> None:
    named = open_corpora(folders)
    moved = open_corpora([folders[i] for i in order])
    judged = open_corpora(folders[:1])
    one, two = (pretraining_corpus(each, judged, fraction=fraction) for each in (named, moved))
    assert one.digest == two.digest
    batches = [
        list(corpus_images(corpus, each, seed=3).epoch(1, 8))
        for corpus, each in ((one, named), (two, moved))
    ]
    assert len(batches[0]) == len(batches[1]) == one.images // 8 > 2
    for (pixels, seeds), (others, other_seeds) in zip(*batches, strict=True):
        assert torch.equal(pixels, others)
        assert seeds == other_seeds


def test_an_epoch_shows_each_image_once(folders: list[str]) -> None:
    datasets = open_corpora(folders)
    corpus = pretraining_corpus(datasets, {})
    (pixels, seeds) = next(corpus_images(corpus, datasets, seed=0).epoch(0, 10_000))
    expected = [bytes(image) for data in datasets.values() for image in data.images]
    assert sorted(bytes(image) for image in pixels.numpy()) == sorted(expected)
    assert len(set(seeds)) == len(expected)


def test_unlike_sizes_are_refused(folders: list[str], tmp_path: Path) -> None:
    prepare("phantom", "unfair", tmp_path / "large", 32, patients=10, seed=5)
    datasets = open_corpora([folders[0], str(tmp_path / "large")])
    with pytest.raises(BadInput, match=r"different image sizes .*large 32 px.*--size"):
        corpus_images(pretraining_corpus(datasets, {}), datasets, 0)
