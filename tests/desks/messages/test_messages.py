"""Every mistake ends in one line of our words: what was given, what is allowed, what to write."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.cli import COMMANDS
from sweeps.ray_session.address import check_address

from ..command_line import Command
from ..conftest import WriteStudy

pytestmark = pytest.mark.slow  # hundreds of command lines: a minute together

LIBRARY = re.compile(
    r"Input should be|valid (string|integer|list|dictionary|tuple)|pydantic|type=|constructor|"
    r"<unicode string>|Errno|Traceback|urllib3|HTTPConnectionPool|magic bytes|Usage:"
)
LONGEST = 700
"""Characters of the longest line: one that lists what an objective may be."""


def checked(line: str) -> str:
    assert not LIBRARY.search(line), line
    assert len(line) < LONGEST
    return line


# YAML


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study: a\nbase: {}\nstudy: b\n", "key 'study' is repeated at line 3"),
        ("study: a\n\tbase: 1\n", "line 2: a tab indents it; use spaces"),
        ("study: a\nbase: *other\n", "line 2: *other names no anchor; write &other beside"),
        ("study: [a\n", "a bracket is not closed, or a comma is missing: add ] or ,"),
        ("study: {a: 1\n", "a bracket is not closed, or a comma is missing: add } or ,"),
        ("study: a: b\n", "line 1: a colon is not expected there"),
        ("study: a\nbase\nseeds: [1]\n", "a key lacks its colon"),
        ("study: !!python/object:os.system x\n", "line 1: the tag python/object:os.system is"),
        ("study: 'a\n", "a quotation mark is not closed"),
        ('study: "\\q"\n', "line 1: a backslash in double quotes; use single quotes"),
        ("a: 1\n---\nb: 2\n", "--- begins a second document; give one"),
        ("{[a]: 1}: 2\n", "is not valid YAML"),
        ("a: {<<: 3}\n", "<<: takes a mapping, or a list of mappings"),
        ("a: \x07\n", "it holds a control character; remove it"),
        ("a: &x 1\nb: @x\n", "line 2: a value may not begin like this; put it in quotes"),
        ("a:\n  b: 1\n c: 2\n", "line 3: its indentation fits no line before it"),
        ("- a\n", "must hold a mapping of keys to values, and holds a list"),
        ("", "must hold a mapping of keys to values, and holds nothing"),
        ("just text\n", "and holds a str"),
        ("study: 2026-13-45\n", "a date is not possible"),
        ("1: a\n", "the key 1 is not text; put it in quotes"),
        ("a: " + "[" * 5000 + "\n", "is nested too deeply"),
    ],
)
def test_yaml(fairfm: Command, tmp_path: Path, text: str, words: str) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(text)
    line = checked(fairfm("sweep", "plan", study).error)
    assert words in line
    assert str(study) in line


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfes\x00", "is not UTF-8 text"), (b"study: \xe4\n", "save it as UTF-8")],
)
def test_encodings(fairfm: Command, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "s.yaml").write_bytes(content)
    assert words in checked(fairfm("sweep", "plan", tmp_path / "s.yaml").error)


def test_a_byte_order_mark_is_no_mistake(fairfm: Command, write_study: WriteStudy) -> None:
    study = write_study()
    study.write_text("\ufeff" + study.read_text(), encoding="utf-8")
    assert fairfm("sweep", "status", study).code == 0


# Keys and values of a study

MISSPELT = {"metric": "val/gap_sexx", "goal": "minimize"}


@pytest.mark.parametrize(
    ("changes", "words", "key"),
    [
        ({"sede": [1]}, "unknown key 'sede' (did you mean 'seeds'?)", "sede"),
        ({"seeds": 3}, "seeds: must be a list, not 3: write [3]", "seeds"),
        ({"matrix": [1]}, "matrix: must be a mapping of keys to values, not [1]", "matrix"),
        ({"evaluation/atributes": ["sex"]}, "(did you mean 'attributes'?)", "atributes"),
        ({"evaluation/replicates": "many"}, "replicates: must be a whole number", "replicates"),
        ({"evaluation/confidence": 95}, "confidence: must be below 1, not 95", "confidence"),
        ({"objectives": "val/auc"}, "objectives: must be a list, not 'val/auc'", "objectives"),
        ({"tracking": {"url": "x"}}, "'tracking.url' (did you mean 'uri'?)", "url"),
        ({"budget": "equl"}, "(did you mean 'equal'?)", "budget"),
        # What is wrong between several keys has the line of the one to change.
        ({"objectives": [MISSPELT]}, "(did you mean 'val/gap_sex'?)", "metric"),
        ({"exclude": [{"adaptation": "prob"}]}, "(did you mean 'probe'?)", "- adaptation"),
        ({"seeds": {"pretraining": [0]}}, "no trial has a pre-training", "pretraining"),
        (
            {"matrix/adaptation": {"probe": {"method": "linear_prob"}}},
            "method 'linear_prob' is not known (did you mean 'linear_probe'?); known: end_to_end",
            "probe",
        ),
        ({"matrix/data.sampling": ["standard"] * 2}, "lists 'standard' twice", "data.sampling"),
        ({"matrix/adaptation": [{}]}, "need labels to name trials by", "adaptation"),
    ],
)
def test_a_wrong_key_is_told_with_its_line(
    fairfm: Command, write_study: WriteStudy, changes: dict[str, Any], words: str, key: str
) -> None:
    study = write_study(changes)
    line = checked(fairfm("sweep", "plan", study).error)
    assert words in line
    (number,) = re.findall(r"\(line (\d+)\)", line)
    assert f"{key}:" in study.read_text().splitlines()[int(number) - 1]


def test_known_keys_are_listed_once(fairfm: Command, write_study: WriteStudy) -> None:
    line = checked(fairfm("sweep", "plan", write_study({"one": 1, "two": 2})).error)
    assert "unknown key 'one' (line " in line
    assert "unknown key 'two'; known: base, budget, caps, claim, " in line
    assert line.count("known: ") == 1


@pytest.mark.parametrize(
    ("changes", "words", "key"),
    [
        ({"matrix/adaptation/probe/epochz": 2}, "'adaptation.epochz' (did you mean", "epochz"),
        ({"base/backbone/image_size": 8}, "image_size: must be at least 16, not 8", "image_size"),
        ({"base/data/samplng": "x"}, "'data.samplng' (did you mean 'sampling'?)", "samplng"),
        ({"include": [{"data": {"sampling": "balancd"}}]}, "did you mean 'balanced'", "sampling"),
    ],
)
def test_a_wrong_key_of_a_trial_is_told_with_its_line(
    fairfm: Command, write_study: WriteStudy, changes: dict[str, Any], words: str, key: str
) -> None:
    study = write_study(changes)
    line = checked(fairfm("sweep", "plan", study).error)
    assert words in line
    assert line.startswith("error: study.yaml, trial ")
    numbers = re.findall(r"\(line (\d+)\)", line)
    assert any(f"{key}:" in study.read_text().splitlines()[int(number) - 1] for number in numbers)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"objectives": [MISSPELT]},
            "unknown objective 'val/gap_sexx' (did you mean 'val/gap_sex'?)",
        ),
        ({"objectives": [{"metric": "test/auc", "goal": "maximize"}]}, "reported on test"),
        ({"exclude": [{"adaptation": "prob"}]}, "'prob' (did you mean 'probe'?)"),
        ({"exclude": [{"adaption": "probe"}]}, "axis 'adaption' (did you mean 'adaptation'?)"),
        ({"base/backbone/name": "resnet5"}, "'resnet5' is not known to timm"),
        ({"base/data/pathologies": ["Edemma"]}, "(did you mean 'Edema'?)"),
        ({"evaluation/attributes": ["rase"]}, "'rase', which is not in"),
        ({"base/data/dataset": "nowhere"}, "nowhere does not exist; make one with"),
        ({"tracking": {"uri": "htp://x"}}, "give http://HOST:PORT"),
        ({"matrix/adaptation/probe/recipe": "papr"}, "(did you mean 'paper'?)"),
        ({"base/weights": "mea"}, "(did you mean 'mae'?)"),
    ],
)
def test_the_nearest_name_is_suggested(
    fairfm: Command, write_study: WriteStudy, changes: dict[str, Any], words: str
) -> None:
    assert words in checked(fairfm("sweep", "plan", write_study(changes)).error)


# Arguments, at every level


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("swep plan s.yaml", "no command 'swep' (did you mean 'sweep'?)"),
        ("sweep pln s.yaml", "no such command 'pln' (did you mean 'plan'?); see: fairfm sweep"),
        ("data chek x", "no such command 'chek' (did you mean 'check'?); see: fairfm data"),
        ("results chck x", "(did you mean 'check'?)"),
        ("model lst", "(did you mean 'list'?)"),
        ("track snc x", "(did you mean 'sync'?)"),
        ("sweep plan s.yaml --resultz x", "'--resultz' (did you mean '--results'?)"),
        ("sweep plan", "missing argument 'STUDY...'; see: fairfm sweep plan --help"),
        ("sweep run s.yaml --cpus 0", "'--cpus': 0 is not in the range"),
        ("sweep run s.yaml --cpus 2 --address 127.0.0.1:9", "--cpus is for this machine"),
        ("ui --port -5", "'--port': -5 is not in the range"),
        ("evaluate", "missing option '--out'"),
        ("--nope", "no such option '--nope'; see: fairfm --help"),
        ("data prepare phantm x --out y", "'phantm' is not known (did you mean 'phantom'?)"),
        ("data prepare phantom unfare --out y", "(did you mean 'unfair'?)"),
    ],
)
def test_arguments(fairfm: Command, write_study: WriteStudy, arguments: str, words: str) -> None:
    write_study().rename("s.yaml")
    assert words in checked(fairfm(*arguments.split()).error)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"doctor"}))
def test_a_command_alone_says_what_it_takes(fairfm: Command, command: str) -> None:
    if command == "ui":
        return  # which needs nothing
    said = fairfm(command)
    assert said.code == 2
    assert "Traceback" not in said.err


# Files and folders


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("sweep plan nope.yaml", "nope.yaml does not exist"),
        ("sweep plan .", "is a directory; give the path of a YAML file"),
        ("sweep plan {long}", "file name too long; give the path of a YAML file"),
        ("pareto nope", "nope holds no study; make one with `fairfm sweep run STUDY`"),
        ("report study.yaml", "study.yaml is a file; give the results folder"),
        ("ui --results study.yaml", "study.yaml is a file, not a folder; give the folder"),
        ("sweep status study.yaml --results study.yaml", "is a file, not a folder"),
        ("results check nope", "'nope' is not a results folder"),
        ("data check nope", "nope does not exist; make one with"),
        ("data check study.yaml", "study.yaml is not a prepared data set"),
        (
            "evaluate study.yaml --out e",
            "study.yaml is no table of predictions: its first line, 'study: asked', names one",
        ),
        ("evaluate nope.parquet --out e", "no predictions at nope.parquet"),
        ("evaluate empty --out e", "empty is empty"),
        ("model check nope", "no file nope; `fairfm model convert` makes one"),
        ("data prepare table nope --out z", "nope does not exist"),
    ],
)
def test_files(fairfm: Command, write_study: WriteStudy, arguments: str, words: str) -> None:
    write_study()
    Path("empty").write_bytes(b"")
    line = checked(fairfm(*arguments.format(long="x" * 300).split()).error)
    assert words in line


# Servers


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_silent_server_is_no_cluster(
    monkeypatch: pytest.MonkeyPatch, silent_port: int, form: str
) -> None:
    monkeypatch.setattr("sweeps.ray_session.address.GREETING_SECONDS", 0.5)
    with pytest.raises(ValueError, match="is no Ray cluster") as caught:
        check_address(form.format(silent_port))
    checked(str(caught.value))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:9", "nothing answers at 127.0.0.1:9"),
        ("nohost.invalid:6379", "no host is called nohost.invalid (--address nohost.invalid:6379)"),
        ("ray://nohost.invalid:10001", "no host is called nohost.invalid (--address ray://"),
        ("nonsense", "'nonsense' is no address of a Ray cluster; give HOST:PORT"),
        ("http://127.0.0.1:8265", "is the address of a web page, such as Ray's dashboard"),
        ("host:99999", "'host:99999' is no address"),
    ],
)
def test_a_wrong_address_of_a_cluster_fails_at_once(
    fairfm: Command, write_study: WriteStudy, address: str, words: str
) -> None:
    said = fairfm("sweep", "run", write_study(), "--address", address)
    assert words in checked(said.error)


# fairfm doctor


def test_doctor_names_every_part_and_what_to_do(
    fairfm: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://name:secret@127.0.0.1:9")
    monkeypatch.setattr("sweeps.doctor.places.LEAST_SHARED", 1e18)
    monkeypatch.setattr("sweeps.doctor.services.local_ray.__code__", _no_ray.__code__)
    (tmp_path / "file").touch()
    said = fairfm("doctor", "--results", tmp_path / "file")
    assert said.code == 1
    lines = {re.split(r"\s{2,}", line)[1]: line for line in said.out.splitlines()[:-1]}
    assert list(lines)[:4] == ["python", "packages", "versions", "torch"]
    assert lines["packages"].startswith("ok ")
    assert lines["shared memory"].startswith("warning")
    assert "docker run --shm-size=2g" in lines["shared memory"]
    assert lines["disk"].startswith("problem")
    assert lines["mlflow"].startswith("problem")
    assert "start that server" in lines["mlflow"]
    assert "secret" not in said.out
    assert said.verdict.startswith("verdict: 2 problems, ")


def _no_ray() -> Any:
    """The check that takes seconds: `test_ray_session.py` starts a Ray."""
    from sweeps.doctor.diagnosis import ok

    return ok("not started")


def test_a_check_that_breaks_is_a_problem() -> None:
    from sweeps.doctor.diagnosis import Check, diagnosed

    found = diagnosed(Check("x", lambda: os.stat("/nowhere")))  # type: ignore[arg-type, return-value]
    assert (found.state, "FileNotFoundError" in found.found) == ("problem", True)
