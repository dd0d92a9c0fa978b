"""`medprobclip index` and `search`: exit codes, one line for each fault, and what a script can read."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from medprobclip.__main__ import main
from medprobclip.retriever import indexing
from medprobclip.retriever.gallery import Gallery
from medprobclip.retriever.retriever import Retriever
from medprobclip.support.progress import progress_bar

UNSURE = ["--strange_rate", "0", "--risk", "0.99", "--delta", "0.9"]  # answers whatever is asked


def called(*arguments) -> int | str | None:
    """The exit code, or the one line on standard error that goes with code 1."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code
    return None


@pytest.fixture(scope="module")
def built(calibrated_run, study_tables, tmp_path_factory):
    """An index without text and one with; do not add to them."""
    folder = tmp_path_factory.mktemp("indexes")
    for name, flags in (("silent", []), ("speaking", ["--with_text"])):
        assert (
            called("index", study_tables["test"], "--run", calibrated_run, "--out", folder / name, *flags)
            is None
        )
    return folder


@pytest.fixture
def film(study_tables):
    return study_tables["test"].parent / "test-3-pa.png"


def test_says_what_it_does_and_what_comes_next(calibrated_run, study_tables, tmp_path, capsys):
    out = tmp_path / "index"
    assert called("index", study_tables["test"], "--run", calibrated_run, "--out", out) is None
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"{study_tables['test']}: 12 studies",
        f"12 studies added, 12 in {out}. Ask it:",
        f'  medprobclip search {out} --text "right pleural effusion"',
    ]
    assert called("index", study_tables["validate"], "--out", out) is None
    assert "12 studies added, 24 in" in capsys.readouterr().out
    assert called("index", study_tables["test"], "--run", calibrated_run, "--out", out) is None
    printed = capsys.readouterr().out
    assert f"{study_tables['test']}: 12 studies, 12 in the index already" in printed
    assert "0 studies added, 24 in" in printed


def test_exit_codes_of_an_answer_and_of_none(built, film, capsys):
    assert called("search", built / "silent", "--image", film, *UNSURE) == 0
    shown = capsys.readouterr().out
    assert "Better not answered" not in shown
    assert shown.count("test-") == 10
    assert called("search", built / "silent", "--image", film, "--strange_rate", "1") == 3
    refused = capsys.readouterr().out
    assert refused.startswith("Better not answered: unlike any film it was trained on (p = ")
    assert refused.count("test-") == 10
    assert called("search", built / "silent", "--text", "opacity", "--k", "3", *UNSURE) == 0
    assert capsys.readouterr().out.count("test-") == 3


def test_json_is_what_the_retriever_says(built, film, capsys):
    retriever = Retriever.load(built / "speaking")
    for flag, query in (("--image", film), ("--text", "opacity")):
        code = called("search", built / "speaking", flag, query, "--k", 4, "--alpha", 0.4, "--json")
        found = json.loads(capsys.readouterr().out)
        answers = retriever.search(query, 4, 0.4)
        assert found == json.loads(json.dumps(answers.to_dict()))
        assert code == (3 if found["abstain"] else 0)
        assert [row["rank"] for row in found["answers"]] == [1, 2, 3, 4]


def test_what_took_long_is_not_said_among_the_answers(built, film, capsys, monkeypatch):
    load = Retriever.load

    def slow(*arguments):
        with progress_bar(3, "catching up", "study"):
            return load(*arguments)

    monkeypatch.setattr("medprobclip.support.progress.LONG", 0.0)
    monkeypatch.setattr(Retriever, "load", slow)
    called("search", built / "silent", "--image", film, "--json")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["answers"]
    assert "catching up: 3 studies" in printed.err


def test_text_is_shown_only_where_the_index_was_built_with_it(built, study_tables, film, capsys):
    texts = set(pd.read_csv(study_tables["test"])["findings"])
    for name in ("silent", "speaking"):
        called("search", built / name, "--image", film, "--json")
        rows = json.loads(capsys.readouterr().out)["answers"]
        if name == "speaking":
            assert {row["text"] for row in rows} <= texts
        else:
            assert not any("text" in row for row in rows)
    assert not [path for path in (built / "silent" / "index").iterdir() if b"opacity" in path.read_bytes()]
    line = called("index", study_tables["test"], "--out", built / "silent", "--with_text")
    assert line == ("GalleryError: this index was begun without report text, and what is in it stays so")


def test_faults_are_one_line_each(built, study_tables, calibrated_run, tmp_path, film):
    index, table = built / "silent", study_tables["test"]
    (tmp_path / "half.png").write_bytes(film.read_bytes()[:150])
    shutil.copytree(index, tmp_path / "broken")
    part = tmp_path / "broken" / "index" / "part-000000.safetensors"
    part.write_bytes(part.read_bytes()[:-1])
    (tmp_path / "file").write_text("")
    new, run, half = tmp_path / "new", ["--run", calibrated_run], tmp_path / "half.png"
    faults = [
        (["search", tmp_path, "--text", "x"], f"GalleryError: {tmp_path} holds no saved retriever;"),
        (["search", index, "--text", "x", "--k", 13], "GalleryError: k = 13, but the index holds 12 studies"),
        (["search", index, "--text", " "], "GalleryError: query 0 says nothing: ' '. Give some words"),
        (["search", index, "--text", "x.png"], "GalleryError: --text x.png names a file: ask by --image"),
        (["search", index, "--image", new], f"ImageError: {new}: no such file"),
        (["search", index, "--image", half], f"ImageError: {half}"),
        (["search", tmp_path / "broken", "--text", "x"], f"GalleryError: {part} has "),
        (["index", table, "--out", tmp_path / "broken"], f"GalleryError: {part} has "),
        (["index", table, "--out", new], f"GalleryError: {new} is no index yet: say with --run whose"),
        (["index", tmp_path / "no.csv", "--out", index], f"StudyTableError: {tmp_path / 'no.csv'}"),
        (["index", table, "--run", tmp_path, "--out", index], f"GalleryError: {tmp_path} holds no checkp"),
        (["index", table, "--run", tmp_path, "--out", new], f"GalleryError: {tmp_path} holds no checkpoint"),
        (["index", table, *run, "--out", tmp_path], f"GalleryError: {tmp_path} is not empty; choose another"),
        (["index", table, *run, "--out", tmp_path / "file"], "FileExistsError: "),
    ]
    for arguments, expected in faults:
        line = called(*arguments)
        assert isinstance(line, str), arguments
        assert line.startswith(expected)
        assert "\n" not in line.rstrip(), line
    assert not new.exists()
    assert len(Gallery.open(index / "index")) == 12


def test_a_run_of_another_model_is_not_mixed_in(built, study_tables, calibrated_run, tmp_path):
    other = shutil.copytree(calibrated_run, tmp_path / "other")
    with open(other / "checkpoint" / "model.safetensors", "ab") as file:
        file.write(b"\0")
    line = called("index", study_tables["validate"], "--run", other, "--out", built / "silent")
    assert line.startswith(f"GalleryError: {built / 'silent'} was built with another model than {other}: ")
    assert len(Gallery.open(built / "silent" / "index")) == 12


@pytest.mark.parametrize(
    "flags",
    [
        ["--text", "x", "--image", "y.png"], [], ["--text", "x", "--k", "0"], ["--text", "x", "--alpha", "1"],
        ["--text", "x", "--k", "many"], ["--text", "x", "--unknown"], ["--text", "x", "--alpha", "nan"],
    ],
)  # fmt: skip
def test_wrong_flags_are_code_2_before_anything_is_loaded(flags, capsys):
    assert called("search", "nowhere", *flags) == 2
    assert capsys.readouterr().err.startswith("usage: medprobclip search")


def test_an_interrupted_call_goes_on(calibrated_run, study_tables, tmp_path, monkeypatch, capsys):
    """Ctrl-C in the second piece, then while the folder is made; nothing is embedded twice."""
    monkeypatch.setattr(indexing, "PIECE", 5)
    embedded, real, out = [], indexing.embed_images, tmp_path / "index"

    def stopped(model, images):
        if len(embedded) == 1:
            embedded.append(0)
            raise KeyboardInterrupt
        embedded.append(len(images))
        return real(model, images)

    monkeypatch.setattr(indexing, "embed_images", stopped)
    command = ["index", study_tables["test"], "--run", calibrated_run, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr(
            "medprobclip.retriever.retriever.card", lambda with_text: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert called(*command) == "Stopped. What was indexed is kept; the same command goes on."
    assert called("search", out, "--text", "x").startswith(f"GalleryError: {out} was not written to its end")
    assert called(*command) == "Stopped. What was indexed is kept; the same command goes on."
    assert len(Gallery.open(out / "index")) == 5
    capsys.readouterr()
    assert called("search", out, "--text", "opacity", "--k", "5", *UNSURE) == 0
    assert called("index", study_tables["test"], "--out", out) is None
    assert "7 studies added, 12 in" in capsys.readouterr().out
    assert embedded == [5, 0, 5, 2]
    assert [Gallery.open(out / "index").study(i)[0] for i in range(12)] == [f"test-{i}" for i in range(12)]


def test_an_error_that_nobody_foresaw_leaves_its_trace(built, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("nothing is left")

    monkeypatch.setattr(Retriever, "search", broken)
    line, where = called("search", built / "silent", "--text", "x").splitlines()
    assert line == "ZeroDivisionError: nothing is left"
    trace = Path(where.removeprefix("Not foreseen. Where it came from is in ").removesuffix("."))
    assert "in broken" in trace.read_text()
    shutil.rmtree(trace.parent)


def test_a_script_can_use_it(built, film):
    """In a process of its own: nothing but JSON on standard output, and the code."""
    command = [sys.executable, "-m", "medprobclip", "search", built / "silent", "--image", film, "--json"]
    result = subprocess.run(
        [*map(str, command), "--strange_rate", "1"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 3, result.stderr
    assert json.loads(result.stdout)["abstain"] is True
    assert "Traceback" not in result.stderr
