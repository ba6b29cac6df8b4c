"""A contact sheet: random images of a data set, and those at the ends of its exposure.

A range that was chosen wrongly, an inversion or a turn shows at a glance here, whatever the numbers
say. The random ones are the same for the same data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import FigureBase
from numpy.typing import NDArray
from PIL import Image

from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.image_store.exposure import Exposure
from fairfm_core.data.image_store.resizing import Grey
from fairfm_core.data.image_store.store import read_rows
from fairfm_core.seeding import stream

ACROSS = 8
"""Images in a row of the sheet."""
SIDE = 96
"""Height and width of an image on the sheet, in pixels."""


@dataclass(frozen=True, eq=False)
class SheetRow:
    """A title, and images [SIDE, SIDE] with a caption each."""

    title: str
    images: tuple[Grey, ...]
    captions: tuple[str, ...]


def contact_sheet(data: PreparedData, exposure: Exposure) -> tuple[SheetRow, ...]:
    """Random images, the darkest, the brightest, and those with the fewest grey levels."""
    count = len(exposure.mean_N)
    random = np.sort(stream(0, "contact sheet").permutation(count)[:ACROSS])
    chosen = {
        "random": random,
        "darkest": np.argsort(exposure.mean_N, kind="stable")[:ACROSS],
        "brightest": np.argsort(-exposure.mean_N, kind="stable")[:ACROSS],
        "fewest grey levels": np.argsort(exposure.levels_N, kind="stable")[:ACROSS],
    }
    return tuple(_row(title, rows, data, exposure) for title, rows in chosen.items())


def draw_sheet(figure: FigureBase, sheet: tuple[SheetRow, ...]) -> None:
    """Draws the rows of a sheet, one above the other."""
    parts = figure.subfigures(len(sheet), 1, squeeze=False)[:, 0]
    for part, row in zip(parts, sheet, strict=True):
        part.suptitle(f"{row.title} (mean, grey levels)", x=0.01, ha="left", fontsize=7)
        cells = part.subplots(1, ACROSS, squeeze=False)[0]
        for axes in cells:
            axes.set_axis_off()
        for axes, image, caption in zip(cells, row.images, row.captions, strict=False):
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(caption, fontsize=4, pad=2)


def _row(title: str, rows: NDArray[np.int64], data: PreparedData, exposure: Exposure) -> SheetRow:
    ids = data.frame["image_id"].iloc[rows]
    captions = (
        f"{name[-24:]}\n{exposure.mean_N[row]:.0f}, {exposure.levels_N[row]}"
        for name, row in zip(ids, rows, strict=True)
    )
    small = [_small(pixels) for pixels in read_rows(data.images, rows)]
    return SheetRow(title, tuple(small), tuple(text.replace("$", r"\$") for text in captions))


def _small(pixels: Grey) -> Grey:
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))
