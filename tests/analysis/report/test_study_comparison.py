"""Two studies on one page: a front over both, and what a reader must know of their differences."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from analysis.front.study_analysis import analyse_study
from analysis.report.study_comparison import differences_of, join_studies
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.tables import BY_PROTOCOL, Evaluation
from sweeps.cli import cli
from sweeps.commands.report import report

Record = Callable[..., dict[str, Any]]


@pytest.fixture
def two(tmp_path: Path, results_folder: Path, study_json: Record) -> Path:
    """The same trials in two studies; the second leaves two out and asks for one gap less."""
    folder = tmp_path / "results"
    shutil.copytree(results_folder, folder)
    record = study_json("other", claim="A second <b>question</b>?")
    record["spec"]["objectives"].pop()
    record["trials"] = [each for each in record["trials"] if "vit" in each["name"]]
    open_store(str(folder)).write_json(record, "studies", "other", "study.json")
    return folder


def compare(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(report, [str(folder), "--compare", *arguments])


@pytest.mark.slow
def test_one_front_over_both(two: Path) -> None:
    done = compare(two, "tiny", "other")
    assert done.exit_code == 0, done.output
    page = Path(done.output.strip())
    assert page.name == "compared-with-other.html"
    text = page.read_text()
    assert "2 configurations of both studies are the same work, done once." in text
    assert "Study other, adaptation tune, backbone vit" in text
    assert "A second &lt;b&gt;question&lt;/b&gt;?" in text
    assert "Objectives of tiny alone: val/gap_race; not used here." in text
    assert "The studies use different data" in text
    assert page.read_text() == Path(compare(two, "tiny", "other").output.strip()).read_text()


def with_balanced_first(evaluation: Evaluation) -> Evaluation:
    """The evaluation as if it had been made under another protocol too, before its own."""
    own = {name: evaluation.tables[name] for name in BY_PROTOCOL}
    tables = {name: pa.concat_tables([balanced(table), table]) for name, table in own.items()}
    return Evaluation(tables)


def balanced(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("protocol")
    return table.set_column(place, table.schema.field(place), pa.array(["balanced"] * len(table)))


def test_two_protocols_are_not_mixed_on_one_front(two: Path) -> None:
    first, second = (analyse_study(str(two), name) for name in ("tiny", "other"))
    spec = second.results.stored.spec
    settings = spec.evaluation.model_copy(update={"protocols": ("balanced", "full")})
    stored = second.results.stored.model_copy(
        update={"spec": spec.model_copy(update={"evaluation": settings})}
    )
    evaluations = {group: with_balanced_first(e) for group, e in second.evaluations.items()}
    assert {e.protocol for e in evaluations.values()} == {"balanced"}
    results = replace(second.results, stored=stored)
    joined = join_studies(first, replace(second, results=results, evaluations=evaluations))
    assert {row["protocol"] for row in joined.front.rows} == {"full"}
    assert joined.settings.protocols == ("full",)
    said = differences_of(joined)
    assert any("All numbers are under protocol full" in line and "other" in line for line in said)
    assert "evaluation.protocols: full in tiny, balanced, full in other." in said
    alone = settings.model_copy(update={"protocols": ("balanced",)})
    stored = stored.model_copy(update={"spec": spec.model_copy(update={"evaluation": alone})})
    with pytest.raises(BadInput, match="share no protocol: tiny has full, other balanced"):
        join_studies(first, replace(second, results=replace(results, stored=stored)))


def test_what_cannot_be_compared_is_one_line(two: Path) -> None:
    for arguments, said in (
        (
            ["--compare", "tiny", "tiny"],
            "study tiny would be compared with itself",
        ),
        (["--compare", "tiny", "otter"], "no study 'otter'"),
        (["--study", "tiny", "--compare", "tiny", "other"], "--compare names both studies"),
    ):
        with pytest.raises(Exception, match=said):
            cli.main(["report", str(two), *arguments], standalone_mode=False)
