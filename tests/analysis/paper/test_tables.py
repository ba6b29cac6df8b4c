"""The paper's tables: every cell against a computation of its own, verdicts, marks, bad input."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from analysis.commands.paper import tables
from analysis.paper.answers import PaperRequest
from analysis.paper.cells import ranked, verdict
from analysis.paper.items import TABLE2, TABLE4, TABLES
from analysis.paper.latex import PACKAGES, latex
from analysis.paper.layout import cells_grid, plain_table
from analysis.paper.outputs import open_answers, write_tables
from analysis.paper.published import NUMBERS, published
from analysis.paper.tables import PaperTable, paper_table
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.storage.layout import claim_results

from .paper_folder import (
    PATHOLOGIES,
    SEEDS,
    SETTINGS,
    adapted,
    all_models,
    mae,
    trial_frames,
    write_study,
    zoo,
)

LABELS = {
    ("table2", "CX14", ""): "cx14",
    ("table2", "CXPT", ""): "cxpt",
    ("table2", "CX14+CXPT", ""): "both",
    ("table4", "200 epochs", ""): "cx14.200",
    ("table4", "400 epochs", ""): "cx14.400",
    ("table4", "800 epochs", ""): "cx14",
    ("table5", "30 %", ""): "cxpt.30",
    ("table5", "100 %", ""): "cxpt",
    ("table6", "MoCo v3", "linear probe"): "mocov3/probe",
    ("table6", "MoCo v3", "fine-tuned"): "mocov3",
    ("table6", "MAE", "linear probe"): "mae/probe",
    ("table6", "MAE", "fine-tuned"): "mae",
}
"""What answers each cell."""
MEMBERS = {
    "ViT (Masked)": ("mae", "mae_med"),
    "ViT (Contrastive)": ("mocov3", "mocov3_med"),
    "ResNet (Contrastive)": ("bit", "remedis"),
    "Natural Imaging": ("mae", "mocov3", "bit"),
    "Medical Imaging": ("mae_med", "mocov3_med", "remedis"),
    "All Foundation Models": ("mae", "mae_med", "mocov3", "mocov3_med", "bit", "remedis"),
}


@pytest.fixture(scope="module")
def made(paper_results: Path) -> dict[str, PaperTable]:
    """All tables of the folder."""
    answers = open_answers(str(paper_results), PaperRequest())
    return {name: paper_table(item, answers) for name, item in TABLES.items()}


@cache
def plain(labels: tuple[str, ...], seed: int, column: str, definition: str | None) -> float:
    """A number of a model, or of an ensemble, in plain words: scikit-learn's AUCs, their means and
    extremes."""
    frame = ensemble(labels, seed)
    if column == "auc":
        return float(np.mean([auc(frame, name) for name in PATHOLOGIES]))
    groups = [part for _, part in frame.groupby(column)]
    of_groups = np.array([[auc(part, name) for name in PATHOLOGIES] for part in groups])
    if definition == "gap_of_mean":
        return float(np.ptp(of_groups.mean(axis=1)))
    return float(np.ptp(of_groups, axis=0).mean())


def auc(frame: pd.DataFrame, name: str) -> float:
    return float(roc_auc_score(frame[f"y_{name}"], frame[f"p_{name}"].astype(np.float32)))


@cache
def ensemble(labels: tuple[str, ...], seed: int) -> pd.DataFrame:
    """The mean probability of the members; of a single one, its own."""
    frames = [trial_frames(label, seed)["test"] for label in labels]
    frame = frames[0].copy()
    if len(labels) == 1:
        return frame
    for name in PATHOLOGIES:
        scores = [each[f"p_{name}"].astype(np.float32).astype(float) for each in frames]
        frame[f"p_{name}"] = sum(scores) / len(scores)
    return frame


def test_every_cell_is_that_of_a_plain_computation(made: dict[str, PaperTable]) -> None:
    seen = 0
    for name, table in made.items():
        for row in table.cells.to_dict("records"):
            labels = MEMBERS.get(row["row"])
            if labels is None:
                labels = (LABELS[name, row["row"], row["arm"]],)
                assert (row["model"],) == labels
            expected = np.mean([plain(labels, s, row["column"], row["definition"]) for s in SEEDS])
            assert row["value"] == pytest.approx(expected, abs=1e-12), row
            seen += 1
    assert seen == 5 * (len(LABELS) + len(MEMBERS))


def test_differences_are_those_of_the_cells(made: dict[str, PaperTable]) -> None:
    for table in made.values():
        value = {
            (f"{r['row']}, {r['arm']}".rstrip(", "), r["number"]): r["value"]
            for r in table.cells.to_dict("records")
        }
        for test in table.tests.to_dict("records"):
            if test["kind"] in ("planned", "best"):
                a, b = value[test["a"], test["number"]], value[test["b"], test["number"]]
                assert test["difference"] == pytest.approx(a - b, abs=1e-12)
    planted = made["table2"].tests.set_index(["kind", "number"])["difference"]
    rows = made["table2"].cells
    aucs = rows[rows["column"] == "auc"].set_index("row")["value"]
    volume = np.log2([112_120, 191_027, 112_120 + 191_027])
    slope = np.polyfit(volume, aucs[["CX14", "CXPT", "CX14+CXPT"]], 1)[0]
    assert planted["trend", "auc"] == pytest.approx(slope, abs=1e-12)
    coarse = [line for line in made["table2"].footer if "cannot be told with 20 draws" in line]
    assert len(coarse) == 1


def test_planted_differences_are_found(made: dict[str, PaperTable]) -> None:
    cells = made["table2"].cells.set_index(["row", "number"])
    assert cells.loc[("CX14+CXPT", "auc"), "place"] == 1
    assert cells.loc[("CX14", "gap_race"), "place"] == 3
    assert cells.loc[("CX14", "gap_race"), "p_value"] < 0.05
    assert cells.loc[("CX14", "auc"), "verdict"] == "above"
    assert cells.loc[("CX14+CXPT", "auc"), "verdict"] == "below"


def test_members_are_compared_with_the_best_of_them(made: dict[str, PaperTable]) -> None:
    tests = made["table3"].tests
    member = tests[(tests["kind"] == "member") & (tests["number"] == "auc")].set_index("a")["b"]
    for name, labels in MEMBERS.items():
        aucs = {
            label: np.mean([plain((label,), s, "auc", None) for s in SEEDS]) for label in labels
        }
        assert member[name] == max(aucs, key=lambda label: aucs[label])


@pytest.mark.parametrize(
    ("value", "expected"), [(0.7, "inside"), (0.6, "inside"), (0.59, "below"), (0.81, "above")]
)
def test_verdicts(value: float, expected: str) -> None:
    assert verdict(value, 0.6, 0.8) == expected


def test_there_is_no_verdict_without_an_interval() -> None:
    assert verdict(0.7, None, None) is None
    assert verdict(None, 0.6, 0.8) is None


def test_the_highest_auc_and_the_smallest_gap_are_best() -> None:
    rows = [
        {"row": name, "arm": "", "number": number, "value": value}
        for number in ("auc", "gap_sex")
        for name, value in zip("abc", (0.1, None, 0.3), strict=True)
    ]
    assert [row["place"] for row in ranked(rows)] == [2, None, 1, 1, None, 2]


def test_all_the_paper_prints_is_there() -> None:
    assert len(NUMBERS) == 3 * (3 + 6 + 3 + 2 + 4)
    cells = {(item.name, cell.row, cell.arm) for item in TABLES.values() for cell in item.cells}
    assert {(each.item, each.row, each.arm) for each in NUMBERS} == cells
    there = published("table2", "CX14+CXPT", "", "race")
    assert there is not None
    assert (there.text, there.value) == ("2.82", pytest.approx(0.0282))


def test_the_same_bytes_twice(paper_results: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        list(write_tables(str(paper_results), ["table5"], PaperRequest(), tmp_path / folder))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"table5{end}" for end in (".csv", ".md", ".tex", "_tests.csv", "_tests.tex")]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def folder_of(tmp_path: Path, paper_results: Path, *studies: tuple[str, dict, dict]) -> str:
    """A folder with the artifacts of `paper_results` and other records of studies."""
    store = open_store(str(tmp_path / "results"))
    claim_results(store)
    for kind in ("adapt", "evaluate"):
        held = paper_results / kind
        shutil.copytree(held, tmp_path / "results" / kind, copy_function=os.link)
    for name, models, changes in studies:
        write_study(store, models, name, **changes)
    return str(tmp_path / "results")


def test_rows_that_were_not_run_name_the_command(tmp_path: Path, paper_results: Path) -> None:
    models = {"cx14": all_models()["cx14"]}
    folder = folder_of(tmp_path, paper_results, ("one", models, {"kind": "phantom"}))
    done = CliRunner().invoke(tables, [folder, "--only", "table2", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    text = done.stdout
    assert text.count("not run") == 2
    assert "fairfm sweep run sweeps/studies/paper_table2.yaml" in text
    assert "demo data" in text
    assert "Pathologies here: Edema, Pleural Effusion; the paper has 14" in text


def test_two_studies_that_answer_one_cell_are_both_named(
    tmp_path: Path, paper_results: Path
) -> None:
    models = all_models()
    one, other = {"cx14": models["cx14"]}, {"mae": adapted(mae("cx14"))}
    folder = folder_of(tmp_path, paper_results, ("one", one, {}), ("other", other, {}))
    with pytest.raises(
        BadInput, match=r"one/cx14 and other/mae could both .* --study one or --use"
    ):
        paper_table(TABLE2, open_answers(folder, PaperRequest()))
    for request in (PaperRequest(studies=("other",)), PaperRequest(use=("mae",))):
        table = paper_table(TABLE2, open_answers(folder, request))
        assert table.cells["model"].dropna().unique() == ["mae"]


def test_the_same_model_in_two_studies_is_one_answer(tmp_path: Path, paper_results: Path) -> None:
    models = {"cx14": all_models()["cx14"]}
    folder = folder_of(tmp_path, paper_results, ("one", models, {}), ("two", models, {}))
    table = paper_table(TABLE2, open_answers(folder, PaperRequest()))
    assert table.cells["studies"].dropna().unique() == ["one two"]


def test_one_seed_has_no_p_value(tmp_path: Path, paper_results: Path) -> None:
    models = {label: all_models()[label] for label in ("cx14", "cxpt", "both")}
    folder = folder_of(tmp_path, paper_results, ("one", models, {"seeds": (0,)}))
    table = paper_table(TABLE2, open_answers(folder, PaperRequest()))
    assert table.tests["p_value"].isna().all()
    assert table.cells["told_from_best"].isna().all()
    assert any("one training of each model" in line for line in table.footer)
    assert any("no p-value: one training each" in line for line in table.footer)


def test_shorter_trainings_stand_for_the_papers_by_their_share(
    tmp_path: Path, paper_results: Path
) -> None:
    lengths = {"cx14.200": 3, "cx14.400": 6, "cx14": 12}
    models = {label: adapted(mae("cx14", epochs=epochs)) for label, epochs in lengths.items()}
    folder = folder_of(tmp_path, paper_results, ("small", models, {}))
    table = paper_table(TABLE4, open_answers(folder, PaperRequest()))
    assert list(table.cells["model"].unique()) == list(lengths)
    assert any("has 12 epochs; it stands for the paper's 800" in line for line in table.footer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "tabel2"], "table 'tabel2' is not known (did you mean 'table2'?)"),
        (["--protocol", "glocker"], "protocol 'glocker' was not evaluated"),
        (["--study", "papper"], "no study 'papper'"),
        (["--use", "cx15"], "no configuration 'cx15' in paper (did you mean 'cx14'?)"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    paper_results: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    done = CliRunner().invoke(tables, [str(paper_results), *options, "--out", str(tmp_path)])
    assert isinstance(done.exception, BadInput)
    assert message in str(done.exception)


def test_a_folder_that_cannot_be_written_is_named(paper_results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        BadInput, match=r"table5.csv cannot be written to .* another folder with --out"
    ):
        list(write_tables(str(paper_results), ["table5"], PaperRequest(), tmp_path / "file" / "x"))


def test_studies_that_evaluate_differently_are_not_mixed(
    tmp_path: Path, paper_results: Path
) -> None:
    one, other = ({label: all_models()[label]} for label in ("cx14", "cxpt"))
    changed = {"settings": SETTINGS.model_copy(update={"replicates": 50})}
    folder = folder_of(tmp_path, paper_results, ("one", one, {}), ("other", other, changed))
    with pytest.raises(BadInput, match="studies one and other evaluate in different ways"):
        paper_table(TABLE2, open_answers(folder, PaperRequest()))


def test_cells_that_are_too_small_are_undefined_and_say_why(
    tmp_path: Path, paper_results: Path
) -> None:
    models = {label: all_models()[label] for label in ("cx14", "cxpt", "both")}
    changed = {"settings": SETTINGS.model_copy(update={"min_cases": 35})}
    folder = folder_of(tmp_path, paper_results, ("one", models, changed))
    table = paper_table(TABLE2, open_answers(folder, PaperRequest()))
    gaps = table.cells[table.cells["column"] == "race"]
    assert gaps["value"].isna().all()
    assert gaps["verdict"].isna().all()
    assert gaps["reason"].str.contains("undefined").all()
    assert "undefined" in plain_table(cells_grid(table))
    assert any("fewer than" in line or "undefined" in line for line in table.footer)


def test_facts_are_read_from_the_trial_and_not_from_its_name(
    tmp_path: Path, paper_results: Path
) -> None:
    weighted = adapted(zoo("mae"))
    weighted["adaptation"] = {"method": "end_to_end", "loss": {"name": "focal"}}
    focal = {"mae": weighted, "mocov3": adapted(zoo("mocov3"))}
    folder = folder_of(tmp_path, paper_results, ("one", focal, {}))
    answers = open_answers(folder, PaperRequest())
    assert list(answers.six) == ["MoCov3"]


def test_signs_of_every_kind_are_printed_by_latex() -> None:
    assert latex("30 % & a_b Ünal") == r"30 \% \& a\_b Ünal"
    assert latex("−1 – β") == r"$-$1 -- \texttt{U+03B2}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_tables_compile(paper_results: Path, tmp_path: Path) -> None:
    request = PaperRequest(definition="mean_of_gaps", protocol="balanced")
    names = ["table2", "table6", "claims", "cohort_flow", "characteristics"]
    list(write_tables(str(paper_results), names, request, tmp_path))
    for name, word in (("table2", "CXPT"), ("cohort_flow", "test"), ("characteristics", "Edema")):
        odd = tmp_path / f"{name}.tex"
        assert word in odd.read_text()
        sign = latex('Würzburg_50 % & β|"<ß>^~{}\\#$')
        odd.write_text(odd.read_text().replace(word, sign))
    packages = "".join(rf"\usepackage{package}" for package in PACKAGES)
    inputs = "\n".join(rf"\input{{{path.name}}}" for path in sorted(tmp_path.glob("*.tex")))
    document = rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def beside(folder: Path, label: str, seed: int = 0, images: int | None = None) -> Path:
    """Test predictions of another program, with a pathology that the studies do not have."""
    frame = trial_frames(label, seed)["test"][:images]
    frame = frame.assign(y_Fracture=frame["y_Edema"], p_Fracture=frame["p_Edema"])
    folder.mkdir()
    frame.to_csv(folder / "test.csv", index=False)
    return folder


def test_a_model_of_another_program_stands_below_the_papers_rows(
    paper_results: Path, tmp_path: Path
) -> None:
    """Its numbers are those that ours would be; it is tested against the best, and has no place."""
    same = beside(tmp_path / "same", "cxpt")
    fewer = beside(tmp_path / "fewer", "cxpt", images=200)
    given = ["--with", f"guest={same}", "--with", str(fewer), "--only", "table5"]
    done = CliRunner().invoke(tables, [str(paper_results), *given, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    cells = pd.read_csv(tmp_path / "out" / "table5.csv").set_index(["row", "number"])
    guest = cells.loc["guest"]
    assert guest["place"].isna().all()
    assert guest.loc["auc", "value"] == pytest.approx(plain(("cxpt",), 0, "auc", None), abs=1e-7)
    assert guest.loc["gap_race", "value"] == pytest.approx(
        plain(("cxpt",), 0, "race", "gap_of_mean"), abs=1e-7
    )
    best = cells[cells["place"] == 1].xs("auc", level="number").iloc[0]
    tests = pd.read_csv(tmp_path / "out" / "table5_tests.csv").set_index(["b", "number"])
    assert tests.loc[("guest", "auc"), "difference"] == pytest.approx(
        best["value"] - guest.loc["auc", "value"]
    )
    assert pd.isna(tests.loc[("fewer", "auc"), "difference"])
    words = " ".join(done.output.split())
    assert "Below the paper's rows: guest and fewer, from predictions of other programs" in words
    assert "fewer: 100 patients, 200 images" in words


def test_a_model_has_a_name_of_its_own(paper_results: Path, tmp_path: Path) -> None:
    place = beside(tmp_path / "guest", "cxpt")
    for given in ([f"CX14={place}"], [str(place), str(place)]):
        named = [part for each in given for part in ("--with", each)]
        done = CliRunner().invoke(tables, [str(paper_results), *named, "--out", str(tmp_path)])
        assert "two rows are called" in str(done.exception)
    done = CliRunner().invoke(tables, [str(paper_results), "--layout", "medfair"])
    assert "name them with --with" in done.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns=["y_Edema", "p_Edema"]), "predicts no 'Edema', which"),
        (lambda f: f.drop(columns="race"), "unknown attribute 'race'"),
        (lambda f: f.assign(split="val"), "hold no test images"),
    ],
)
def test_a_model_of_other_pathologies_or_people_is_refused(
    paper_results: Path, tmp_path: Path, change, message: str
) -> None:
    place = beside(tmp_path / "guest", "cxpt") / "test.csv"
    change(pd.read_csv(place)).to_csv(place, index=False)
    given = [str(paper_results), "--with", str(place), "--only", "table5", "--out", str(tmp_path)]
    done = CliRunner().invoke(tables, given)
    assert isinstance(done.exception, BadInput)
    assert message in str(done.exception)
