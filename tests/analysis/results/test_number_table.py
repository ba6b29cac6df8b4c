"""The number table: it says what the evaluations' own files say, whatever happens to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analysis.front.study_analysis import StudyAnalysis, analyse_study
from analysis.results import number_table
from analysis.results.number_keeper import NumberKeeper
from analysis.results.number_table import EvaluationSource, NumberTable, held_names, kept_rows
from analysis.results.results import StudyResults, TrialResult, open_results
from fairfm_core.artifacts import open_store
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.evaluation.summary import summary_rows
from fairfm_core.evaluation.tables import Evaluation
from fairfm_core.storage.retries import StoreUnavailable

PARTS = "studies/tiny/numbers"
SPLITS = ("val", "test")


@pytest.fixture(scope="module")
def plain(results_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results whose seeds are pooled, without a table."""
    folder = tmp_path_factory.mktemp("held") / "results"
    shutil.copytree(results_folder, folder)
    analyse_study(str(folder))
    shutil.rmtree(folder / PARTS)
    return folder


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(plain, tmp_path / "results"))


def said(analysis: StudyAnalysis) -> str:
    """Everything that the front says."""
    return analysis.front.table.to_csv() + repr(analysis.front.hypervolume)


def parts(folder: Path) -> list[Path]:
    return sorted((folder / PARTS).glob("*"))


def test_rows_are_those_of_the_evaluations_own_files(folder: Path) -> None:
    first, second = (analyse_study(str(folder)) for _ in range(2))
    assert parts(folder)
    assert said(first) == said(second)
    for held in second.evaluations.values():
        own = Evaluation(held.tables)  # nothing at hand: all is read
        for split in SPLITS:
            names = ["gap_race", "brier", "worst_group_ece_sex", "no_such_number"]
            assert summary_rows(held, split, names) == summary_rows(own, split, names)
            for wanted in (
                {"pathology": ["mean"], "metric": ["auc"]},
                {"value": None, "metric": ["auc"]},
                {"metric": ["auc", "brier"], "pathology": ["Edema"]},
                {},
            ):
                assert held.rows("metrics", split, **wanted) == own.rows("metrics", split, **wanted)
            assert held.rows("weights", split) == own.rows("weights", split)
        assert held.metrics.equals(own.metrics)


def test_numbers_are_those_of_all_files(folder: Path) -> None:
    analyse_study(str(folder))
    analysis = analyse_study(str(folder))
    for group, numbers in analysis.numbers.by_group.items():
        (each,) = [c for c in analysis.results.configurations if c.group == group]
        own = {}
        for trial in each.finished:
            rows = analysis.results.replicates(trial).replicates
            for row in rows.to_dict("records"):
                own.setdefault((row["protocol"], row["split"], row["name"]), []).append(row)
        assert set(numbers) == set(own)  # those that were not held too
        for key, rows in own.items():
            assert numbers[key].value_S.tolist() == pytest.approx(
                [row["value"] for row in rows], nan_ok=True
            )
            for s, row in enumerate(rows):
                found = numbers[key].replicate_BS[:, s]
                assert found.tobytes() == row["replicates"].tobytes()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "rename", "remove", "foreign"])
def test_a_damaged_table_is_written_again(folder: Path, damage: str) -> None:
    before = said(analyse_study(str(folder)))
    for part in parts(folder):
        content = part.read_bytes()
        changed = {
            "flip": content[:200] + bytes([content[200] ^ 1]) + content[201:],
            "cut": content[:-100],
            "empty": b"",
            "rename": content,
            "remove": None,
            "foreign": b"PAR1 of somebody else",
        }[damage]
        if damage in ("rename", "remove"):
            part.unlink()
        if changed is not None:
            name = part.name if damage != "rename" else f"{'0' * 32}.parquet"
            (part.parent / name).write_bytes(changed)
    assert said(analyse_study(str(folder))) == before
    again = open_results(str(folder)).number_table
    assert again._parts
    assert {part.name for part in parts(folder)} == again._parts.keys()  # nothing useless is left


def test_another_revision_is_written_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = said(analyse_study(str(folder)))
    monkeypatch.setattr(number_table, "REVISION", number_table.REVISION + 1)
    assert not open_results(str(folder)).number_table._parts
    assert said(analyse_study(str(folder))) == before
    again = open_results(str(folder)).number_table
    assert {part.name for part in parts(folder)} == again._parts.keys() != set()


def test_a_part_that_cannot_be_read_now_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse_study(str(folder))
    before = parts(folder)
    table = open_results(str(folder)).number_table

    def unreachable(store: object, *names: str) -> bytes:
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(type(table._store), "read_bytes", unreachable)
        assert not table._parts
        table.save()
    assert parts(folder) == before


def test_a_spread_is_lent_only_where_one_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse_study(str(folder))
    read: list[str] = []
    own = StudyResults.replicates

    def noted(self: StudyResults, trial: TrialResult) -> Evaluation:
        read.append(trial.group)
        return own(self, trial)

    monkeypatch.setattr(StudyResults, "replicates", noted)
    analysis = analyse_study(str(folder))
    numbers, held = analysis.numbers, analysis.results.number_table.names
    assert not read
    first, other = sorted(numbers.lenders)[:2]
    name = next(name for *_, name in numbers.by_group[first] if name not in held)
    assert numbers.difference(first, other, "test", name) is not None
    assert set(read) == {first, other}


def test_commands_load_no_more_than_they_need(folder: Path, tmp_path: Path) -> None:
    """Of stored results: fronts, tables, figures and the report; and what `status` starts with."""
    analyse_study(str(folder))
    code = f"""
import sys
from sweeps.cli import cli
import sweeps.status.status
heavy = ["torch", "timm", "ray", "mlflow", "optuna", "scipy.stats", "numba"]
for command in ("pareto", "report", "tables --only table2", "figures --only best_and_worst"):
    name, *more = command.split()
    cli.main([name, {str(folder)!r}, *more, "--out", {str(tmp_path)!r}], standalone_mode=False)
    for library in heavy if name in ("pareto", "report") else heavy[:-1]:
        assert library not in sys.modules, f"{{name}} loads {{library}}"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_evaluation_that_was_made_again_is_read_again(folder: Path) -> None:
    analyse_study(str(folder))
    results = open_results(str(folder))
    trial, other = results.trials[0], results.trials[2]
    store = results.store
    own = Path(store.root, "evaluate")
    with store.publish("evaluate", trial.evaluate, {}) as made:
        for file in (own / other.evaluate).glob("*.parquet"):
            shutil.copy(file, made / file.name)
    again = open_results(str(folder))
    table, source = again.number_table, again.source("evaluate", trial.evaluate)
    assert table.find(source) is None
    rows = table.add(source, stored_evaluation(store, "evaluate", trial.evaluate))
    table.save()
    for name, held in (open_results(str(folder)).number_table.find(source) or {}).items():
        assert held.equals(rows[name].combine_chunks())


def test_many_parts_are_joined_and_two_writers_lose_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_table, "MOST_PARTS", 3)
    results = open_results(str(folder))
    names = held_names(results.objectives)
    evaluations = {
        t.evaluate: stored_evaluation(results.store, "evaluate", t.evaluate)
        for t in results.trials
        if t.done
    }

    def write(numbers: range) -> None:
        for number in numbers:
            for fingerprint, evaluation in evaluations.items():
                table = NumberTable(results.store, "tiny", names)
                table.add(EvaluationSource(f"{number:04d}{fingerprint[4:]}", "seal"), evaluation)
                table.save()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, (range(3), range(2, 5))))
    table = NumberTable(results.store, "tiny", names)
    assert len(parts(folder)) <= 5
    for fingerprint, evaluation in evaluations.items():
        for number in range(5):
            held = table.find(EvaluationSource(f"{number:04d}{fingerprint[4:]}", "seal"))
            if held is None:  # read while the other writer replaced it: read again by whoever asks
                continue
            for name, rows in kept_rows(evaluation, names).items():
                assert held[name].equals(rows.combine_chunks())


def test_large_parts_stay_apart_and_a_writer_holds_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_table, "MOST_PARTS", 2)
    monkeypatch.setattr(number_table, "LARGE", 1)
    results = open_results(str(folder))
    evaluation = stored_evaluation(results.store, "evaluate", results.trials[0].evaluate)
    table = NumberTable(results.store, "tiny", held_names(results.objectives))
    for number in range(4):
        table.add(EvaluationSource(f"{number:020x}", "seal"), evaluation)
        table.save()
    assert len(parts(folder)) == 4
    assert table._found is None
    assert all(table.find(EvaluationSource(f"{number:020x}", "seal")) for number in range(4))


def test_a_folder_that_cannot_be_written_does_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = said(analyse_study(str(folder)))
    shutil.rmtree(folder / PARTS)

    def refused(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(type(open_store(str(folder))), "write_bytes", refused)
    assert said(analyse_study(str(folder))) == before
    assert not parts(folder)


def test_a_run_writes_the_table(folder: Path) -> None:
    results = open_results(str(folder))
    done = [trial.evaluate for trial in results.trials if trial.done]

    class Finished:
        kind = "evaluate"

        def __init__(self, fingerprint: str) -> None:
            self.fingerprint = fingerprint

    with NumberKeeper(results.store, "tiny", results.objectives) as keeper:
        for fingerprint in [*done, "f" * 20]:  # the last one is gone
            keeper.stage_finished(Finished(fingerprint))  # type: ignore[arg-type]
    again = open_results(str(folder))
    held = [again.number_table.find(again.source("evaluate", each)) for each in done]
    assert all(rows is not None and len(rows["replicates"]) for rows in held)


def test_a_storage_that_is_away_is_no_reason_to_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = said(analyse_study(str(folder)))
    store = type(open_store(str(folder)))
    read: Callable[..., bytes] = store.read_bytes

    def away(self: object, *place: str) -> bytes:
        if place[:1] == ("studies",) and place[-1].endswith(".parquet"):
            raise StoreUnavailable("away")
        return read(self, *place)

    monkeypatch.setattr(store, "read_bytes", away)
    assert said(analyse_study(str(folder))) == before
