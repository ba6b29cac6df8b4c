"""Puts what `fairfm tables` and `fairfm figures` wrote into docs/paper.md.

    python docs/examples/paper_page.py FOLDER

`make paper` runs the small studies, makes tables and figures, and ends with this.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1]
PICTURES = "paper"
MARK = "<!-- `make paper` writes what follows. -->\n"
CAPTIONS = {
    "figure1": "scratch, natural and medical in two clusters, as in the paper",
    "figure2": "as in the paper, and below it balanced less standard",
    "figure3": "the six foundation models, as in the paper",
    "figure4": "as in the paper; small residual networks stand for BiT and REMEDIS",
    "figure5": "by sex, as in the paper's caption",
    "figure6": "by race, as in the paper's caption",
}
ORDER = (
    *("figure1", "table2", "table3", "figure2", "figure3", "figure4", "table4", "table5"),
    *("table6", "figure5", "figure6", "claims"),
)


def page(start: str, folder: Path) -> str:
    """The page: what a person wrote down to `MARK`, then every item in the paper's order."""
    parts = [start.partition(MARK)[0] + MARK]
    for name in ORDER:
        if name in CAPTIONS:
            picture = f"![{name}: {CAPTIONS[name]}]({PICTURES}/{name}.svg)"
            parts.append(f"## Figure {name[-1]}\n\n{picture}\n")
        else:
            title = "Claims" if name == "claims" else f"Table {name[-1]}"
            text = (folder / f"{name}.md").read_text(encoding="utf-8")
            parts.append(f"## {title}\n\n{text}")
    return "\n".join(parts)


def main(folder: Path) -> None:
    """Write the page and copy its pictures."""
    (DOCS / PICTURES).mkdir(exist_ok=True)
    for name in CAPTIONS:
        shutil.copyfile(folder / f"{name}.svg", DOCS / PICTURES / f"{name}.svg")
    place = DOCS / "paper.md"
    place.write_text(page(place.read_text(encoding="utf-8"), folder), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
