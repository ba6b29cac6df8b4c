"""The reference of YAML keys: every key has a meaning, and every example is read."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fairfm_core.config.trial import Trial
from fairfm_core.config.yaml_input import read_yaml
from fairfm_core.data.readers.described.table_description import TableDescription
from fairfm_core.data.synthetic.phantom_world import PhantomWorld
from sweeps.planning.study import StudySpec

from .pages import ROOT, blocks

pytest.importorskip("sphinx", reason="the documentation's tools are not installed")

LEAST: dict[str, dict[str, Any]] = {
    "StudySpec": {
        "study": "a",
        "base": {},
        "matrix": {"adaptation": {"probe": {}}, "data.sampling": ["balanced"]},
    },
    "Objective": {"metric": "val/auc", "goal": "minimize"},
    "Trial": {
        "backbone": {"name": "tf_efficientnet_lite0"},
        "adaptation": {"method": "end_to_end"},
        "data": {"dataset": "data"},
    },
    "PublishedWeights": {"model": "m", "network": {"name": "resnet18"}},
    "Pretraining": {"method": "mae", "corpora": ["data"]},
    "Backbone": {"name": "resnet18"},
    "EndToEnd": {"method": "end_to_end"},
    "LinearProbe": {"method": "linear_probe"},
    "Data": {"dataset": "data"},
    "GroupLossSettings": {"name": "reweighted"},
    "TableDescription": {"table": "t", "image": "i", "patient": "p", "labels": {"Edema": "e"}},
    "Join": {"table": "t", "on": "p"},
    "ColumnValues": {"column": "c"},
    "Label": {"column": "c"},
    "JoinedLabels": {"column": "c", "names": ["mass"]},
    "ComputedAge": {"born": "b", "at": "a"},
}
"""What else a record needs, beside the key of an example."""
PAGES = {
    "study.md": [(StudySpec, ""), (Trial, "base")],
    "table.md": [(TableDescription, ""), (PhantomWorld, "")],
}
ROOTS = [pair for pairs in PAGES.values() for pair in pairs]


@pytest.fixture(scope="module")
def fields() -> Any:
    return extension("record_fields")


def extension(name: str) -> ModuleType:
    """A module of the documentation's extensions."""
    folder = str(ROOT / "docs/extensions")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root[0].__name__)
def test_every_key_has_a_meaning(fields: Any, root: tuple[Any, str]) -> None:
    bare = [
        f"{record.__name__}.{name}"
        for record in fields.places(*root)
        for name in record.model_fields
        if not fields.texts(record).get(name)
    ]
    assert not bare


def test_the_pages_ask_for_the_records() -> None:
    for page, roots in PAGES.items():
        asked = [
            word
            for block in blocks(ROOT / "docs/reference" / page)
            if "record-fields" in block.language
            for word in block.info
        ]
        assert asked == [
            f"{record.__module__}:{record.__name__}" + (f"@{place}" if place else "")
            for record, place in roots
        ]


EXAMPLES = [
    (record, name, text)
    for record, examples in extension("record_examples").EXAMPLES.items()
    for name, text in examples.items()
]


@pytest.mark.parametrize(
    ("owner", "name", "text"), EXAMPLES, ids=[f"{r}.{n}" for r, n, _ in EXAMPLES]
)
def test_an_example_is_read(fields: Any, tmp_path: Path, owner: str, name: str, text: str) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(text)
    found = [r for root in ROOTS for r in fields.places(*root)]
    record = next(r for r in found if owner in [each.__name__ for each in r.__mro__])
    least = LEAST.get(record.__name__, LEAST.get(owner, {}))
    given = read_yaml(file)
    read = record.model_validate({**least, **given})
    assert name in record.model_fields
    assert name in read.model_fields_set
    assert getattr(read, name) != record.model_fields[name].get_default(call_default_factory=True)


def test_places_and_choices_are_written_as_a_study_writes_them(fields: Any) -> None:
    found = {record.__name__: keys for record, keys in fields.places(Trial, "base").items()}
    assert found["MaeSettings"] == ["base.weights.pretraining"]
    assert found["Backbone"] == ["base.backbone", "base.weights.network"]
    described = {record.__name__: keys for record, keys in fields.places(TableDescription).items()}
    assert described["Label"] == ["labels.NAME"]
    table = {r.__name__: fields.table(r) for r in fields.places(Trial, "base")}
    assert '| `sampling` | `standard`, `balanced` | `"standard"` |' in table["Data"]
    assert "| `recipe` | `paper`, `official`, `medical_mae`, `smoke` |" in table["MaeSettings"]
    assert "`loss` | " in table["EndToEnd"]
    assert '| `"bce"` |' in table["EndToEnd"]
