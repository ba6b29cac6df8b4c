"""`fairfm evaluate` for people with predictions only: any file and spelling, one page, one line."""

from __future__ import annotations

import gzip
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from analysis.evaluation import figures

from .conftest import Desk, rows

ONLY_TABLES = pytest.mark.usefixtures("_no_figures")
"""Of commands that are judged by tables which have the same figures as others': drawing takes most
of a command."""
pytestmark = pytest.mark.slow  # dozens of command lines: half a minute together


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "evaluation_figures", lambda findings: {})


def auc_by_scikit_learn(frame: pd.DataFrame) -> float:
    """The AUC of the test split."""
    test = frame[frame["split"] == "test"]
    return float(roc_auc_score(test["y_Edema"], test["p_Edema"]))


def arrays(frame: pd.DataFrame, **more: Any) -> bytes:
    """The predictions as an .npz file in the documented layout."""
    file = io.BytesIO()
    texts = {name: frame[name].to_numpy(dtype=str) for name in frame.columns[:5]}
    y, p = (frame[[name]].to_numpy(dtype=float) for name in ("y_Edema", "p_Edema"))
    np.savez(file, **{"y": y, "p": p, "labels": np.array(["Edema"]), **texts, **more})
    return file.getvalue()


def excel(frame: pd.DataFrame, about: str = "", again: bool = False) -> bytes:
    """An Excel file, with a sheet of text before the predictions, or the same behind them."""
    file = io.BytesIO()
    with pd.ExcelWriter(file) as book:
        if about:
            pd.DataFrame({"note": [about]}).to_excel(book, sheet_name="About", index=False)
        frame.to_excel(book, sheet_name="Data", index=False)
        if again:
            frame.to_excel(book, sheet_name="Again", index=False)
    return file.getvalue()


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def decimal_commas(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, sep=";", decimal=",").encode()


WORDS = {1: "positive", 0: "negative"}
FORMS: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "csv": ("preds.csv", rows().to_csv(index=False).encode(), ()),
    "csv with a row number": ("preds.csv", rows().to_csv().encode(), ()),
    "semicolons and decimal commas": ("preds.csv", decimal_commas(rows()), ()),
    "another delimiter": (
        "preds.txt",
        rows().to_csv(index=False, sep="!").encode(),
        ("--delimiter", "!"),
    ),
    "tabs": ("preds.tsv", rows().to_csv(index=False, sep="\t").encode(), ()),
    "packed, without a name that says so": (
        "preds.csv",
        gzip.compress(rows().to_csv(index=False).encode()),
        (),
    ),
    "ends of lines of an old Mac": (
        "preds.csv",
        rows().to_csv(index=False, lineterminator="\r").encode(),
        (),
    ),
    "the second sheet": ("preds.xlsx", excel(rows(), about="Exported on Monday"), ()),
    "UTF-16": ("preds.csv", rows().to_csv(index=False).encode("utf-16"), ()),
    "Latin-1": (
        "preds.csv",
        rows(place="Köln").to_csv(index=False).encode("latin-1"),
        ("--encoding", "latin-1"),
    ),
    "a csv called parquet": ("preds.parquet", rows().to_csv(index=False).encode(), ()),
    "a parquet called csv": ("preds.csv", parquet(rows()), ()),
    "ids as the index": ("preds.parquet", parquet(rows().set_index("image_id")), ()),
    "categories": ("preds.parquet", parquet(rows().astype({"sex": "category"})), ()),
    "lists beside": ("preds.parquet", parquet(rows(boxes=[[1, 2]] * 240)), ()),
    "npz": ("preds.npz", arrays(rows()), ()),
    "xlsx": ("preds.xlsx", excel(rows()), ()),
    "labels in words": (
        "preds.csv",
        rows(y_Edema=rows()["y_Edema"].map(WORDS)).to_csv(index=False).encode(),
        (),
    ),
    "true and false": ("preds.parquet", parquet(rows().astype({"y_Edema": bool})), ()),
    "names of one's own": (
        "preds.csv",
        rows()
        .rename(
            columns={
                "patient_id": "Patient ID",
                "sex": "Gender",
                "y_Edema": "truth of Edema",
                "p_Edema": "Edema (model)",
            }
        )
        .to_csv(index=False)
        .encode(),
        (
            *("--column", "sex=Gender", "--labels", "truth of *"),
            *("--predicted", "* (model)"),
        ),
    ),
    "columns named one by one": (
        "preds.csv",
        rows()
        .rename(columns={"y_Edema": "target", "p_Edema": "pred"})
        .to_csv(index=False)
        .encode(),
        ("--column", "y_Edema=target", "--column", "p_Edema=pred"),
    ),
    "splits in words": (
        "preds.csv",
        rows(split=rows()["split"].map({"val": " Validation", "test": "TEST"}))
        .to_csv(index=False)
        .encode(),
        (),
    ),
    "percent": (
        "preds.csv",
        rows(p_Edema=100 * rows()["p_Edema"]).to_csv(index=False).encode(),
        ("--scores", "percent"),
    ),
    "ids as numbers with blanks elsewhere": (
        "preds.parquet",
        parquet(rows(patient_id=np.repeat(np.arange(120.0), 2))),
        (),
    ),
}


@ONLY_TABLES
@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_numbers(desk: Desk, name: str) -> None:
    file, content, options = FORMS[name]
    desk.write(content, file)
    said = desk.evaluate(*options, name=file)
    assert (said.code, said.err) == (0, "")
    assert desk.auc() == pytest.approx(auc_by_scikit_learn(rows()), abs=1e-9)
    assert desk.groups("sex") == {"F", "M"}
    patients = desk.table().query("attribute == 'overall' and split == 'test'")["n_patients"]
    assert patients.iloc[0] == 80


def test_letters_that_no_figure_has_stop_nothing(desk: Desk) -> None:
    desk.write(rows(race="日本"))
    said = desk.evaluate()
    assert (said.code, said.err) == (0, "")
    assert desk.auc() == pytest.approx(auc_by_scikit_learn(rows()), abs=1e-9)
    assert desk.groups("race") == {"日本"}
    assert (desk.folder / "out" / "groups.pdf").exists()


@ONLY_TABLES
def test_logits_keep_their_order_where_probabilities_would_tie(desk: Desk) -> None:
    """Beyond 17 the sigmoid is 1 in 32 bits; the AUC must be that of the logits."""
    table = rows()
    table["p_Edema"] = 40 + 3 * np.log(table["p_Edema"] / (1 - table["p_Edema"]))
    desk.write(table)
    assert (
        "for percentages say --scores percent, for logits --scores logits" in desk.evaluate().error
    )
    assert desk.evaluate("--scores", "logits").code == 0
    assert desk.auc() == pytest.approx(auc_by_scikit_learn(table), abs=1e-12)


@ONLY_TABLES
def test_spellings_of_a_group_are_one_group(desk: Desk) -> None:
    """The gap was 9.1 points instead of 1.4, between two groups that were printed alike."""
    table = rows()
    desk.write(table)
    assert desk.evaluate().code == 0
    gap = desk.gap("sex")
    odd = np.arange(len(table)) // 2 % 4 == 1
    for spelling in ("F ", "f", " F"):
        spelled = table["sex"].mask(odd & (table["sex"] == "F"), spelling)
        desk.write(table.assign(sex=spelled), "preds.parquet")
        said = desk.evaluate(name="preds.parquet")
        assert said.code == 0, said.err
        assert desk.groups("sex") == {"F", "M"}
        assert desk.gap("sex") == gap
        assert "note: sex: " in said.out


@ONLY_TABLES
@pytest.mark.parametrize("word", ["nan", "None", "unknown", "N/A", ""])
def test_a_word_for_unknown_is_no_group(desk: Desk, word: str) -> None:
    table = rows()
    desk.write(table.assign(race=table["race"].replace("Asian", word)))
    assert desk.evaluate().code == 0
    assert desk.groups("race") == {"Black", "White"}


@ONLY_TABLES
def test_an_unknown_word_in_parquet_is_no_group(desk: Desk) -> None:
    table = rows()
    desk.write(table.assign(race=table["race"].replace("Asian", "nan")), "preds.parquet")
    assert desk.evaluate(name="preds.parquet").code == 0
    assert desk.groups("race") == {"Black", "White"}


AGES = np.repeat(np.arange(120) % 60 + 25, 2)


@ONLY_TABLES
@pytest.mark.parametrize("form", ["{}", "0{}Y", "{}.0", "{} years", "{},5"])
def test_ages_in_text_are_binned(desk: Desk, form: str) -> None:
    desk.write(rows(age=[form.format(age) for age in AGES]))
    said = desk.evaluate("--attributes", "age")
    assert said.code == 0, said.err
    assert desk.groups("age") == {"<40", "40-59", "60-79", "80+"}


def test_ages_in_words_stay_groups(desk: Desk) -> None:
    desk.write(rows(age=np.where(AGES < 50, "young", "old")))
    assert desk.evaluate("--attributes", "age").code == 0
    assert desk.groups("age") == {"young", "old"}


MEASURED = np.repeat(np.linspace(17.3, 39.9, 120), 2)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_measurement_is_refused_at_once_or_binned(desk: Desk, kind: str) -> None:
    """It took 33 s and 6 GB, and was killed."""
    name = f"preds.{kind}"
    desk.write(rows(bmi=MEASURED), name)
    error = desk.evaluate("--attributes", "bmi", name=name).error
    assert "attribute 'bmi' is a measurement (120 different values from 17.3 to 39.9)" in error
    (advice,) = re.findall(r"--bins bmi=[\d.,]+$", error)
    said = desk.evaluate("--attributes", "bmi", *advice.split(" "), name=name)
    assert said.code == 0, said.err
    assert desk.groups("bmi") == {"<25", "25-31", "32+"}


def test_combinations_of_a_measurement_are_refused(desk: Desk) -> None:
    desk.write(rows(bmi=MEASURED))
    assert "bin it, as in" in desk.evaluate("--attributes", "bmi x sex").error
    said = desk.evaluate("--attributes", "bmi x sex", "--bins", "bmi=25")
    assert said.code == 0, said.err
    assert desk.groups("bmi x sex") == {"<25 x F", "<25 x M", "25+ x F", "25+ x M"}


@ONLY_TABLES
def test_codes_are_groups_in_any_file(desk: Desk) -> None:
    """1 in one file and 1.0 in another, where a blank has made it a float."""
    site = np.repeat(np.arange(120) % 3, 2)
    table = rows(site=site)
    desk.write(table[table["split"] == "val"], "both/val.csv")
    blank = table.assign(site=np.where(np.arange(240) % 40 == 0, np.nan, site))
    desk.write(blank[blank["split"] == "test"], "both/test.csv")
    said = desk.evaluate("--attributes", "site", name="both")
    assert said.code == 0, said.err
    assert desk.groups("site") == {"0", "1", "2"}


REFUSED: dict[str, tuple[pd.DataFrame, tuple[str, ...], str]] = {
    "a patient in val and test": (
        rows(split=["val", "test"] * 120),
        (),
        "120 patient(s) are in more than one split: p0 (",
    ),
    "a patient of two races": (
        rows(race=["White", "Black"] * 120),
        (),
        "120 patient(s) have more than one race, such as patient 'p0' with 'White' and 'Black'",
    ),
    "free text": (
        rows(report=[f"text {n}" for n in range(240)]),
        ("--attributes", "report"),
        "attribute 'report' has 240 different values, such as 'text 0', 'text 1', 'text 2'",
    ),
    "no patients": (
        rows().drop(columns="patient_id"),
        (),
        "there is no column 'patient_id' (did you mean 'image_id'?); name it with --column",
    ),
    "no labels": (
        rows().rename(columns={"y_Edema": "Edema"}),
        (),
        "no label column is called y_*; say how they are called, as in --labels 'true_*'",
    ),
    "no scores": (
        rows().rename(columns={"p_Edema": "Edema"}),
        (),
        "no score column is called p_*; say how they are called, as in --predicted 'prob_*'",
    ),
    "no attributes": (
        rows().drop(columns=["sex", "race"]).assign(gender="F"),
        (),
        "there is no column 'sex' or 'race'; say which columns are attributes",
    ),
    "a column that does not exist": (
        rows(),
        ("--column", "sex=Gendr"),
        "--column sex=Gendr: there is no column 'Gendr'",
    ),
    "a mapping without a name": (rows(), ("--column", "sex"), "as in sex=Gender"),
    "a pattern without a star": (rows(), ("--labels", "true"), "with one * for the pathology"),
    "logits": (
        rows(p_Edema=rows()["p_Edema"] - 0.7),
        (),
        "; a probability in 0..1 is expected (",
    ),
    "a percentage above 100": (
        rows(p_Edema=rows()["p_Edema"] + 100),
        ("--scores", "percent"),
        "a percentage in 0..100 is expected",
    ),
    "a blank score": (
        rows(p_Edema=rows()["p_Edema"].where(rows().index != 7)),
        (),
        "p_Edema of image 'i7' is blank; a probability in 0..1 is expected (1 of 240 rows)",
    ),
    "scores in words": (rows(p_Edema="high"), (), "'p_Edema' holds words, such as 'high'"),
    "uncertain labels": (rows(y_Edema=-1), (), "y_Edema holds -1; allowed: 1, 0 and blank"),
    "labels in other words": (
        rows(y_Edema="uncertain"),
        (),
        "'y_Edema' holds words, such as 'uncertain'; labels are 1 or 0, yes or no, true or false",
    ),
    "no age to draw by": (
        rows(),
        ("--protocol", "glocker"),
        "protocol glocker draws by race and age, but the predictions have no 'age': use another",
    ),
    "a repeated image": (rows(image_id="same"), (), "image_id occurs more than once: same"),
    "an unknown split": (rows(split="fold 3"), (), "unknown split fold 3; allowed are"),
    "a blank attribute": (rows(race=None), ("--attributes", "race"), "is blank in every row"),
    "an unknown attribute": (
        rows(),
        ("--attributes", "rase"),
        "unknown attribute 'rase' (did you mean 'race'?); the predictions have: 'sex', 'race'",
    ),
    "an unknown pathology": (
        rows(),
        ("--pathologies", "Edma"),
        "no pathology 'Edma' (did you mean 'Edema'?)",
    ),
    "bins of words": (rows(), ("--bins", "race=3,4"), "its values are words, such as 'White'"),
    "edges in words": (rows(), ("--bins", "bmi=low"), "edges are numbers, as in bmi=18.5,25"),
    "edges that fall": (rows(), ("--bins", "bmi=30,20"), "edges in increasing order"),
    "no rows": (rows().head(0), (), "holds no rows"),
    "ages that are none": (rows(age=999), ("--attributes", "age"), "can be read as years"),
    "hundreds of combinations": (
        rows(site=[f"s{n % 20}" for n in range(240)], hour=[n // 20 for n in range(240)]),
        ("--attributes", "site x hour"),
        "'site x hour' has 240 groups, and at most 64 can be compared",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_evaluated_is_refused_in_one_line(desk: Desk, name: str) -> None:
    table, options, words = REFUSED[name]
    desk.write(table)
    error = desk.evaluate(*options).error
    assert words in error
    assert "preds.csv" in error or "--" in error, "the file or the option is named"
    assert not (desk.folder / "out").exists()


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("preds.csv", b"", "preds.csv is empty"),
    "JSON": ("preds.csv", b'[{"image_id": 1}]', "is JSON, which is not read; write parquet, csv"),
    "an old Excel file": ("p.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "the old format (.xls)"),
    "bytes called csv": (
        "preds.csv",
        b"a,b\r\x00\r,\n\x8e",
        "is not a readable csv file (its bytes are",
    ),
    "two sheets of labels": (
        "preds.xlsx",
        excel(rows(), again=True),
        "sheets 'Data' and 'Again' both hold labels",
    ),
    "a pickle": ("preds.pkl", b"\x80\x04\x95.", "is a Python pickle, which is not read; write"),
    "a single array": ("preds.npy", b"\x93NUMPY\x01\x00", "is a single .npy array, which is not"),
    "a cut parquet": ("preds.parquet", parquet(rows())[:-100], "it is of another format, or cut"),
    "a cut npz": ("preds.npz", arrays(rows())[:-300], "is damaged or not an .npz file"),
    "a picture": ("preds.png", b"\x89PNG\r\n\x1a\n\x00\x00", "preds.png"),
    "Python objects": (
        "preds.npz",
        arrays(rows(), sex=rows()["sex"].to_numpy(dtype=object)),
        "holds Python objects, which are not read; store text as np.array(names, dtype=str)",
    ),
    "arrays of other lengths": (
        "preds.npz",
        arrays(rows(), sex=np.array(["F", "M", "F"])),
        "array 'sex' has the shape [3]; one value for each of the 240 images is expected",
    ),
    "labels of other lengths": (
        "preds.npz",
        arrays(rows(), labels=np.array(["Edema", "Mass"])),
        "array 'y' has the shape [240, 1], but 'labels' names 2 pathologies (Edema, Mass)",
    ),
    "a repeated column": (
        "preds.csv",
        b"patient_id,sex,sex,y_A,p_A\na,F,M,1,0.5\n",
        "has the column 'sex' more than once; rename one of them",
    ),
    "complex numbers": (
        "preds.npz",
        arrays(rows(), p=np.full((240, 1), 0.5 + 1j)),
        "column 'p_Edema' holds complex numbers",
    ),
    "no arrays": ("preds.npz", b"PK\x05\x06" + bytes(18), "preds.npz holds no predictions: give"),
    "rows of other lengths": ("preds.csv", b"a,b\n1,2\n1,2,3,4\n", "the header has 2 fields"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_in_one_line(desk: Desk, name: str) -> None:
    file, content, words = UNREADABLE[name]
    desk.write(content, file)
    assert words in desk.evaluate(name=file).error


@ONLY_TABLES
def test_conflicting_races_may_be_set_aside(desk: Desk) -> None:
    table = rows()
    table.loc[5, "race"] = "Black"
    desk.write(table)
    assert "1 patient(s) have more than one race" in desk.evaluate().error
    said = desk.evaluate("--conflicts", "unknown")
    assert said.code == 0
    assert "race: set to null for 1 patients with several values" in said.out


def test_without_ids_and_splits_the_page_says_what_is_taken_for_granted(desk: Desk) -> None:
    desk.write(rows().drop(columns=["image_id", "patient_id", "split"]))
    said = desk.evaluate("--resampling", "images", "--metrics", "rates", "--replicates", 20)
    assert said.code == 0, said.err
    words = " ".join(said.out.split())
    assert "note: no column 'image_id': images are named and paired by their row" in words
    assert "every image counts as a patient of its own, so intervals are too narrow" in words
    assert "no column 'split': every row of 'preds' counts as test" in words
    assert "Not computed: rates at fpr=0.2: no threshold: no validation split was given." in words


@ONLY_TABLES
def test_files_named_after_their_split_need_no_column(desk: Desk) -> None:
    table = rows().drop(columns="split")
    for split, chosen in (("val", slice(0, 80)), ("test", slice(80, None))):
        desk.write(table[chosen], f"model/{split}.csv")
    assert desk.evaluate(name="model").code == 0
    assert desk.auc() == pytest.approx(auc_by_scikit_learn(rows()), abs=1e-9)


def test_the_folder_of_the_predictions_is_not_written_into(desk: Desk) -> None:
    desk.write(rows(), "out/preds.csv")
    assert "--out out is the folder of the predictions" in desk.evaluate(name="out").error


@ONLY_TABLES
def test_a_split_in_another_format_is_not_left_out_in_silence(desk: Desk) -> None:
    """The file of validation was not read, so there was no threshold and no TPR."""
    for split, name in (("val", "both/val.csv"), ("test", "both/test.parquet")):
        table = rows()
        desk.write(table[table["split"] == split].drop(columns="split"), name)
    error = desk.evaluate(name="both").error
    assert "folder both holds test.parquet and val.csv, and only files of one format" in error
    assert desk.evaluate("both/test.parquet", name="both/val.csv").code == 0
    assert set(desk.table()["split"]) == {"val", "test"}
    desk.write("a note\n", "both/notes.csv")
    (desk.folder / "both" / "val.csv").unlink()
    assert desk.evaluate(name="both").code == 0


def test_a_results_folder_says_how_to_find_predictions(desk: Desk) -> None:
    (desk.folder / "results" / "studies").mkdir(parents=True)
    error = desk.evaluate(name="results").error
    assert "results is a results folder: give two of its configurations with --compare" in error


def test_two_files_of_any_format_are_compared(desk: Desk) -> None:
    desk.write(rows())
    desk.write(rows(p_Edema=0.5 * rows()["p_Edema"]), "other.parquet")
    said = desk.fairfm(
        *("evaluate", "--compare", "preds.csv", "other.parquet", "--out", "out"),
        *("--replicates", 20),
    )
    assert said.code == 0, said.err
    table = pd.read_csv(desk.folder / "out" / "comparisons.csv")
    assert table[table["name"] == "auc"]["difference"].abs().max() < 1e-12
    assert max(map(len, said.out.splitlines())) <= 120


def test_files_without_ids_are_paired_by_row_if_patients_and_labels_agree(desk: Desk) -> None:
    table = rows().drop(columns="image_id")
    desk.write(table)
    desk.write(table.assign(p_Edema=0.5), "other.csv")
    desk.write(table.iloc[::-1], "reversed.csv")
    compare = ("evaluate", "--out", "out", "--replicates", 20, "--compare", "preds.csv")
    said = desk.fairfm(*compare, "other.csv")
    assert said.code == 0, said.err
    assert "note: other.csv: no column 'image_id': images are named and paired by" in said.out
    assert "cannot be paired: 'patient_id' differs" in desk.fairfm(*compare, "reversed.csv").error


def test_an_ensemble_takes_the_same_files(desk: Desk) -> None:
    desk.write(arrays(rows()), "a.npz")
    desk.write(rows().rename(columns={"sex": "Sex"}), "b.csv")
    said = desk.fairfm("ensemble", "a.npz", "b.csv", "--out", "out", "--replicates", 20)
    assert said.code == 0, said.err
    written = pd.read_parquet(desk.folder / "out" / "ensemble.parquet")
    assert np.allclose(np.sort(written["p_Edema"]), np.sort(rows()["p_Edema"]))
    assert said.out.startswith("ensemble of 2 members, mean probability: a + b\n")
    search = desk.fairfm(
        *("ensemble", "a.npz", "b.csv", "--out", "searched", "--replicates", 20, "--search"),
    )
    assert search.code == 0, search.err
    assert "note: b: 'sex' is the column 'Sex'" in search.out
    assert max(map(len, search.out.splitlines())) <= 120


# The page


def wide(patients: int = 700) -> pd.DataFrame:
    """Fourteen pathologies and four attributes, one of a rare and long-named group."""
    random = np.random.default_rng(1)
    patient = np.repeat(np.arange(patients), 2)
    races = ["White", "Black", "Asian", "Native Hawaiian or Other Pacific Islander"]
    table = pd.DataFrame(
        {
            "patient_id": [f"p{n}" for n in patient],
            "split": np.where(patient < patients // 4, "val", "test"),
            "sex": random.choice(["F", "M"], patients)[patient],
            "race": random.choice(races, patients, p=[0.6, 0.2, 0.19, 0.01])[patient],
            "age": random.integers(20, 95, patients)[patient],
            "insurance": random.choice(["Medicare", "Medicaid", "private"], patients)[patient],
        }
    )
    for place in range(14):
        sick = random.random(2 * patients) < 0.02 * (place + 1)
        table[f"y_Pathology with a long name {place}"] = sick.astype(int)
        score = 1 / (1 + np.exp(-(1.5 * sick + random.normal(size=2 * patients))))
        table[f"p_Pathology with a long name {place}"] = score
    return table


EVERYTHING = "sex,race,age,insurance,race x sex,sex x age"


@pytest.fixture(scope="module")
def page_of_everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page and the report of fourteen pathologies, four attributes and combinations."""
    from click.testing import CliRunner

    from analysis.commands.evaluate import evaluate

    folder = tmp_path_factory.mktemp("wide")
    wide().to_csv(folder / "preds.csv", index=False)
    done = CliRunner().invoke(
        evaluate,
        [
            *(str(folder / "preds.csv"), "--out", str(folder / "out"), "--replicates", "20"),
            *("--attributes", EVERYTHING, "--protocol", "full,balanced"),
        ],
    )
    assert done.exit_code == 0, done.output
    return done.output, (folder / "out" / "report.html").read_text()


def test_the_page_fits_a_screen(page_of_everything: tuple[str, str]) -> None:
    """Lines had 696 to 23,356 characters."""
    lines = page_of_everything[0].splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120


def test_the_page_says_what_its_numbers_are(page_of_everything: tuple[str, str]) -> None:
    words = " ".join(page_of_everything[0].split())
    for needed in (
        "Split test, protocol full, mean over 14 pathologies; in points (1 point = 0.01), 95 %",
        "Gaps (gap_of_mean",
        "null: what a fair model shows",
        "Groups, the lowest AUC of each attribute first",
        "Worst cells (pathology x group)",
        "Pathologies, the lowest AUC first",
        "more in metrics.csv",
    ):
        assert needed in words
    for wrong in (" nan", "None", "<NA>"):
        assert wrong not in words


def test_undefined_cells_are_listed_once(page_of_everything: tuple[str, str]) -> None:
    """One list of them was printed a dozen times."""
    page, report = page_of_everything
    assert len(re.findall(r"No AUC in \d+ cells", page)) == 1
    assert page.count("0 positives among") <= 4
    assert report.count("No AUC (0 positives among") == len(
        set(re.findall(r"No AUC \((0 positives among [\d,]+ images?)\)", report))
    )


def test_no_number_is_a_fraction(page_of_everything: tuple[str, str]) -> None:
    """AUC, gaps and their nulls are points on the page, in the report and in the figures."""
    page, report = page_of_everything
    text = re.sub(r"<style>.*?</style>|<script>.*?</script>|<svg.*?</svg>", "", report, flags=re.S)
    text = re.sub(r'data-key="[^"]*"|style="[^"]*"|p \d\.\d+', "", text)
    for each in (page, text):
        fractions = re.findall(r"(?<![\d.=])0\.\d{3,}", each)
        p_values = re.findall(r"\s0\.\d{3}(?=\s)|>[01]\.\d{3}<", each)
        assert len(fractions) <= len(p_values)


def test_the_report_holds_every_pathology_and_group(page_of_everything: tuple[str, str]) -> None:
    report = page_of_everything[1]
    for place in range(14):
        assert f"Pathology with a long name {place}" in report
    assert "Native Hawaiian or Other Pacific Islander" in report
    assert "src=" not in report
    assert 'href="http' not in report


def test_captions_name_the_protocol_of_their_numbers(page_of_everything: tuple[str, str]) -> None:
    captions = re.findall(r"<caption><span>(.*?)</span>", page_of_everything[1], re.S)
    assert len(captions) > 14
    assert all("Test split, " in each for each in captions)
    (every,) = [each for each in captions if "protocol full" not in each]
    assert every.startswith("Null: mean")


def test_names_are_quoted_and_escaped(desk: Desk) -> None:
    race = rows()["race"].replace({"Asian": "<b>A & B</b>", "Black": "line\nbreak"})
    desk.write(rows(race=race), "preds.parquet")
    said = desk.evaluate(name="preds.parquet")
    assert said.code == 0, said.err
    assert "'<b>A & B</b>'" in said.out
    assert "'line break'" in said.out
    report = (desk.folder / "out" / "report.html").read_text()
    assert "<b>A" not in report
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in report


def test_figures_and_tables_are_written(desk: Desk) -> None:
    desk.write(wide(80))
    said = desk.evaluate("--attributes", "sex,insurance")
    assert said.code == 0, said.err
    written = {path.name for path in (desk.folder / "out").iterdir()}
    figures = {f"{name}.{form}" for name in ("groups", "pathologies") for form in ("pdf", "svg")}
    tables = {f"{name}.parquet" for name in ("metrics", "gaps", "differences", "weights")}
    assert written >= figures | tables | {"metrics.csv", "gaps.csv", "report.html", "summary.txt"}
    assert (desk.folder / "out" / "summary.txt").read_text() == said.out
