"""A folder of tables: asked again, interrupted, asked otherwise, changed by hand."""

import json
import threading

import pandas as pd
import pytest
from archived import Mimic, called, table, tables

from medprobclip.archives import chunks, mimic_cxr
from medprobclip.archives.chunks import in_chunks
from medprobclip.archives.columns import as_ids, read_columns
from medprobclip.archives.flow import ArchiveError, Flow
from medprobclip.archives.options import Common
from medprobclip.archives.tables import prepare, studies_of


def states(out):
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir() if path.is_file()
    }


@pytest.fixture
def mimic(tmp_path):
    return Mimic(tmp_path).write()


def test_the_same_question_is_answered_once(mimic, tmp_path, capsys):
    out = tmp_path / "out"
    assert called(*mimic.flags(out)) is None
    before, printed = states(out), capsys.readouterr().out
    record = json.loads((out / "prepared.json").read_text())
    assert record["finished"] is True
    assert record["tables"]["train.csv"]["studies"] == 12
    assert record["tables"]["train.csv"]["images"] == 18
    assert called(*mimic.flags(out)) is None
    again = capsys.readouterr().out
    assert f"Finished before; nothing was changed in {out}" in again
    assert again.replace("Finished before; nothing was changed in", "Written to") == printed
    assert states(out).keys() == before.keys()
    assert {name: state for name, state in states(out).items() if name != ".lock"} == {
        name: state for name, state in before.items() if name != ".lock"
    }


def test_another_question_is_refused_by_its_flag(mimic, tmp_path):
    out = tmp_path / "out"
    assert called(*mimic.flags(out)) is None
    before = states(out)
    for flags, expected in (
        (["--require", "both"], "was begun with --require either, not both. Choose another --out"),
        (["--frontal_only"], "was begun with --frontal_only False, not True"),
        (["--limit", "2"], "was begun with --limit None, not 2"),
        (["--labels", "none"], "was begun with --labels chexpert, not none"),
    ):
        assert expected in called(*mimic.flags(out), *flags)
    csv = [
        "csv",
        out / "train.csv",
        "--study_id",
        "study_id",
        "--image",
        "image_paths",
        "--findings",
        "findings",
    ]
    assert "holds tables of mimic-cxr, not of csv" in called(*csv, "--patient", "subject_id", "--out", out)
    mimic.reports["10000000", "50000000"] += "."
    mimic.write()
    assert f"{mimic.zip} is not the file that {out} was begun with (reports)" in called(*mimic.flags(out))
    assert states(out).keys() == before.keys()


def test_tables_of_others_are_left_alone(mimic, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "test.csv").write_text("mine")
    assert called(*mimic.flags(out)).startswith(f"ArchiveError: {out / 'test.csv'} is there already")
    assert (out / "test.csv").read_text() == "mine"
    (out / "test.csv").unlink()
    (out / ".gitignore").write_text("*.csv\n")
    assert called(*mimic.flags(out)) is None
    assert (out / ".gitignore").read_text() == "*.csv\n"


def test_tables_changed_or_deleted_by_hand(mimic, tmp_path):
    out = tmp_path / "out"
    assert called(*mimic.flags(out)) is None
    whole = (out / "test.csv").read_bytes()
    (out / "test.csv").unlink()
    assert called(*mimic.flags(out)) is None
    assert (out / "test.csv").read_bytes() == whole
    (out / "test.csv").write_bytes(whole + b"\n")
    assert f"{out / 'test.csv'} was changed since it was made" in called(*mimic.flags(out))
    (out / "prepared.json").write_text("[]")
    assert f"{out / 'prepared.json'}: not what it should be" in called(*mimic.flags(out))


def test_a_fault_while_a_table_is_made_again_costs_no_other(mimic, tmp_path):
    out = tmp_path / "out"
    assert called(*mimic.flags(out)) is None
    record = (out / "prepared.json").read_bytes()
    (out / "test.csv").unlink()
    (mimic.root / "files").rename(mimic.root / "away")
    for _ in range(2):
        assert "no folder files in it" in called(*mimic.flags(out))
        assert (out / "train.csv").exists()
        assert (out / "prepared.json").read_bytes() == record
    (mimic.root / "away").rename(mimic.root / "files")
    assert called(*mimic.flags(out)) is None
    assert (out / "test.csv").exists()


def test_an_interrupted_call_goes_on(mimic, tmp_path, monkeypatch):
    """Ctrl-C in the third piece: the first two are not read again, and the tables are the same."""
    assert called(*mimic.flags(tmp_path / "whole")) is None
    out, cut, real = tmp_path / "out", [], mimic_cxr._cut
    original = chunks.in_chunks
    monkeypatch.setattr(mimic_cxr, "in_chunks", lambda *a: original(*a, size=6))
    monkeypatch.setattr(chunks.os, "cpu_count", lambda: None)

    def stopped(report):
        if len(cut) == 13:
            raise KeyboardInterrupt
        cut.append(report)
        return real(report)

    class One(chunks.ThreadPoolExecutor):
        def __init__(self, _):
            super().__init__(1)

    monkeypatch.setattr(chunks, "ThreadPoolExecutor", One)
    with monkeypatch.context() as patch:
        patch.setattr(mimic_cxr, "_cut", stopped)
        assert called(*mimic.flags(out)) == "\nStopped. The same command goes on."
    assert len(list((out / "unfinished").glob("part-*.json"))) == 2
    assert not list(out.glob("*.csv"))
    assert "was begun with --require either" in called(*mimic.flags(out), "--require", "both")
    monkeypatch.setattr(mimic_cxr, "_cut", lambda report: cut.append(report) or real(report))
    assert called(*mimic.flags(out)) is None
    assert len(cut) == 13 + 8  # the twelve kept, one lost, and the other eight
    assert not (out / "unfinished").exists()
    for name, part in tables(tmp_path / "whole").items():
        pd.testing.assert_frame_equal(tables(out)[name], part)


def test_pieces_keep_their_order_and_are_asked_once(tmp_path):
    asked, lock = [], threading.Lock()

    def work(part):
        with lock:
            asked.extend(part)
        return [{"square": i * i} for i in part]

    items = list(range(25))
    expected = [{"square": i * i} for i in items]
    assert in_chunks(work, items, tmp_path, "Working", size=4) == expected
    assert sorted(asked) == items
    (tmp_path / "part-000002.json").write_text("{broken")
    (tmp_path / "part-000003.json").write_text('{"of": "other", "given": [1, 2, 3, 4]}')
    asked.clear()
    assert in_chunks(work, items, tmp_path, "Working", size=4) == expected
    assert sorted(asked) == list(range(8, 16))
    assert in_chunks(work, [], tmp_path, "Working") == []


def test_tables_that_share_a_film_or_a_patient_are_refused(tmp_path):
    """Whatever a source let through."""
    part = {"view_name": "PA", "findings": "x", "impression": "x"}
    for changed, expected in (
        ({"image_path": "/0.png"}, "/0.png stands in a study of train.csv and in one of test.csv"),
        ({"patient_id": "0"}, "1 patient_id stand in both the train and the test table"),
    ):
        rows = [
            {"study_id": str(i), "patient_id": str(i), "image_path": f"/{i}.png", "split": split, **part}
            for i, split in enumerate(("train", "validate", "test"))
        ]
        rows[2] |= changed
        flow = Flow(pd.DataFrame(rows), "rows")
        studies = studies_of(flow.images, {row["study_id"]: row for row in rows})
        options = Common(out=tmp_path / "out", calibrate_share=0)
        with pytest.raises(ValueError, match=expected):
            prepare("made up", options, {}, lambda _, made=(studies, flow): made)
        assert not list((tmp_path / "out").glob("*.csv"))


def test_a_flow_counts_by_hand():
    images = pd.DataFrame({"study_id": ["a", "a", "b", "c"], "x": [1, 2, 3, 4]})
    flow = Flow(images, "rows")
    assert flow.keep(images["x"] > 1, "one").index.tolist() == [0, 1, 2]
    flow.keep([True, False, True], "b")
    assert flow.table().to_numpy().tolist() == [
        ["rows", 0, 0, 3, 4], ["one", 0, 1, 3, 3], ["b", 1, 1, 2, 2],
    ]  # fmt: skip
    with pytest.raises(ArchiveError, match=r"no study is left: 2 of 2 images: not there. Look at x"):
        flow.keep([False, False], "not there", "Look at x")


def test_official_tables_are_read_packed_or_plain(tmp_path):
    rows = [["a,b", " 7.0 ", 'x "y"\nz'], ["", "", ""]]
    for name in ("t.csv", "t.csv.gz"):
        path = table(tmp_path / name, ["one", "two", "three"], rows)
        found = read_columns(path, ["three", "two"])
        assert found.to_numpy().tolist() == [['x "y"\nz', "7.0"], ["", ""]]
    assert as_ids(["7.0", "s50414267", "p10000032", " 007 ", "nan", ""]) == [
        "7",
        "50414267",
        "10000032",
        "7",
        "",
        "",
    ]
