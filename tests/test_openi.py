"""OpenI reports, counted, and the corpus `openi-sim`: resumable, idempotent, split by patient."""

import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medprobclip.data import openi
from medprobclip.data.assets import fetch
from medprobclip.data.corpus import image_paths
from medprobclip.data.findings import side_choices
from medprobclip.data.images import read_image
from medprobclip.data.openi import (
    build_openi_sim,
    read_openi_reports,
    read_view_positions,
    stated_sex,
    taken_views,
)
from medprobclip.data.reports import same_text
from medprobclip.data.studies import COLUMNS, read_studies

REPORT = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="{uid}"/><MedlineCitation><Abstract>
<AbstractText Label="COMPARISON"/><AbstractText Label="INDICATION">Cough &amp; fever</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">Normal
  chest.</AbstractText></Abstract></MedlineCitation><MeSH><major>{code}</major><major>Lung/left</major>
<automatic>lungs</automatic></MeSH><parentImage id="{uid}_IM-1"/><parentImage id="{uid}_IM-2"/></eCitation>"""


def archive(path, members: dict[str, str]):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_parses_a_report(tmp_path):
    members = {
        "../../escape.xml": REPORT.format(uid="CXR10", findings="XXXX 2.5 cm", code="normal"),
        "x/2.xml": REPORT.format(uid="CXR2", findings="", code="Opacity/lung/left"),
        "x/readme.txt": "nothing",
    }
    reports = read_openi_reports(archive(tmp_path / "sub.tgz", members))
    assert reports["study_id"].tolist() == ["CXR2", "CXR10"]
    assert reports.iloc[1].to_dict() == {
        "study_id": "CXR10",
        "patient_id": "10",
        "findings": "XXXX 2.5 cm",
        "impression": "Normal chest.",
        "indication": "Cough & fever",
        "comparison": "",
        "codes": ("normal", "Lung/left"),
        "image_ids": ("CXR10_IM-1", "CXR10_IM-2"),
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sub.tgz"]


def test_refuses_what_is_not_the_archive(tmp_path):
    (tmp_path / "no.tgz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"no\.tgz: not a readable \.tgz"):
        read_openi_reports(tmp_path / "no.tgz")
    with pytest.raises(ValueError, match=r"holds no \.xml"):
        read_openi_reports(archive(tmp_path / "empty.tgz", {"a.txt": ""}))
    for text in ("<eCitation>", "<eCitation/>", REPORT.format(uid="other", findings="", code="")):
        with pytest.raises(ValueError, match=r"member 1\.xml: not an OpenI report"):
            read_openi_reports(archive(tmp_path / "bad.tgz", {"1.xml": text}))


@pytest.fixture(scope="module")
def reports() -> pd.DataFrame:
    return read_openi_reports(fetch("openi_reports"))


def test_counts_of_the_real_collection(reports):
    findings, impression = reports["findings"] != "", reports["impression"] != ""
    codes = reports["codes"].explode()
    assert len(reports) == reports["study_id"].nunique() == reports["patient_id"].nunique() == 3955
    assert (findings & impression).sum() == 3419
    assert (~findings & impression).sum() == 502
    assert (findings & ~impression).sum() == 6
    assert (~findings & ~impression).sum() == 28
    assert (codes == "normal").sum() == 1391
    assert (codes == "No Indexing").sum() == 95
    assert codes.nunique() == 1719
    headings = codes.str.split("/").str[0].value_counts()
    assert len(headings) == 122  # as written; one of them is another with a doubled space
    assert headings.index.str.split().str.join(" ").nunique() == 121
    assert round(headings.iloc[:30].sum() / headings.sum(), 2) == 0.83
    assert (reports["image_ids"].map(len) == 2).sum() == 3208
    distinct = reports.loc[findings, "findings"]
    assert (len(distinct), distinct.nunique(), distinct.value_counts().iloc[0]) == (3425, 2633, 53)
    assert len(np.unique(same_text(distinct))) <= 2633


def test_films_taken_follow_the_archive(reports):
    """A single radiograph is the PA, or the lateral where its DICOM header says so."""
    positions = read_view_positions(fetch("openi_image_metadata"))
    assert (len(positions), positions["CXR1000_IM-0003-2001"]) == (7469, "PA")
    views = reports["image_ids"].map(lambda ids: taken_views(ids, positions))
    counts = views.value_counts().to_dict()
    assert counts == {("pa", "lateral"): 3509, ("pa",): 411, ("lateral",): 35}
    assert counts[("pa",)] + counts[("lateral",)] == (reports["image_ids"].map(len) == 1).sum()
    assert taken_views(("a",), {"a": "LL"}) == ("lateral",)
    assert taken_views(("a",), {"a": "AP"}) == taken_views(("b",), {}) == ("pa",)
    assert taken_views((), {}) == taken_views(("a", "b"), {"a": "LL", "b": "LL"}) == ("pa", "lateral")


def test_other_metadata_are_refused(tmp_path):
    (tmp_path / "views.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"views\.csv: not OpenI's image metadata"):
        read_view_positions(tmp_path / "views.csv")


@pytest.mark.parametrize(
    ("indication", "sex"),
    [
        ("XXXX-year-old female with cough", "female"),
        ("Elderly MAN, chest pain", "male"),
        ("Woman and man", ""),
        ("Chest pain, mandible fracture", ""),
        ("", ""),
    ],
)
def test_sex_is_read_from_the_indication(indication, sex):
    assert stated_sex(indication) == sex


@pytest.fixture
def drawn(monkeypatch):
    """Replaces the simulator by grey squares; gives the study ids it has drawn and when to interrupt it."""
    ids, interrupt_after = [], [None]

    def simulate_corpus(studies, folder, config, workers):
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for study_id, codes, views in studies[["study_id", "codes", "views"]].itertuples(index=False):
            rows += [
                {"study_id": study_id, "code": code, "side": side}
                for code in codes
                for side in (side_choices(code) or [()])[0]
            ]
            for path in image_paths(folder, study_id, views):
                if not path.is_file() or read_image(path).shape[0] != config.size_px:
                    ids.append(study_id)
                    Image.new("L", (config.size_px, config.size_px), 90).save(path)
                if len(ids) == interrupt_after[0]:
                    raise KeyboardInterrupt
        return pd.DataFrame(rows)

    monkeypatch.setattr(openi, "simulate_corpus", simulate_corpus)
    return ids, interrupt_after


def test_build_writes_the_published_schema_split_by_patient(tmp_path, drawn):
    studies = build_openi_sim(tmp_path, size_px=16, n_studies=40)
    assert studies.columns[:5].tolist() == list(COLUMNS)
    assert {"patient_id", "codes", "sex", "appearance", "split"} <= set(studies.columns)
    assert "views" not in studies
    assert {("PA", "LATERAL"), ("PA",)} <= set(studies["view_names"])
    assert (studies["findings"].str.len() > 0).all()
    assert (studies["impression"].str.len() > 0).all()
    parts = {split: read_studies(tmp_path / f"{split}.csv") for split in ("train", "validate", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 28, "validate": 4, "test": 8}
    assert sorted(pd.concat(parts.values())["study_id"]) == sorted(studies["study_id"])
    for split, part in parts.items():
        assert (part["split"] == split).all()
    for study_id, paths, views in studies[["study_id", "image_paths", "view_names"]].itertuples(index=False):
        assert [path.name for path in paths] == [f"{study_id}_{view.lower()}.png" for view in views]
    for codes, entries in zip(studies["codes"], studies["appearance"], strict=True):
        assert len(entries) == sum(bool(side_choices(code)) for code in codes)
    assert len(pd.read_csv(tmp_path / "rendered.csv")) > 20
    assert json.loads((tmp_path / "corpus.json").read_text())["counts"]["studies"] == 40


def test_build_is_idempotent_and_makes_only_what_is_missing(tmp_path, drawn):
    ids, _ = drawn
    first = build_openi_sim(tmp_path, size_px=16, n_studies=20)
    stamp = (tmp_path / "studies.csv").stat().st_mtime_ns
    ids.clear()
    again = build_openi_sim(tmp_path, size_px=16, n_studies=20)
    assert ids == []
    assert (tmp_path / "studies.csv").stat().st_mtime_ns == stamp
    assert again.to_dict("list") == first.to_dict("list")
    first["image_paths"][7][-1].unlink()
    build_openi_sim(tmp_path, size_px=16, n_studies=20)
    assert ids == [first["study_id"][7]]
    build_openi_sim(tmp_path, size_px=16, n_studies=25)
    assert len(read_studies(tmp_path / "studies.csv")) == 25


def test_interrupted_build_resumes_to_the_same_corpus(tmp_path, drawn):
    ids, interrupt_after = drawn
    interrupt_after[0] = 9
    with pytest.raises(KeyboardInterrupt):
        build_openi_sim(tmp_path / "a", size_px=16, n_studies=20)
    assert not list((tmp_path / "a").glob("*.csv"))
    interrupt_after[0] = None
    studies = build_openi_sim(tmp_path / "a", size_px=16, n_studies=20)
    assert len(ids) == studies["image_paths"].map(len).sum()  # nothing drawn twice
    build_openi_sim(tmp_path / "b", size_px=16, n_studies=20)
    for name in ("studies.csv", "train.csv", "rendered.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_settings_or_simulator_replace_the_corpus(tmp_path, drawn, monkeypatch):
    ids, interrupt_after = drawn
    build_openi_sim(tmp_path, size_px=16, n_studies=20)
    studies = build_openi_sim(tmp_path, size_px=24, n_studies=20)
    assert {read_image(p).shape for paths in studies["image_paths"] for p in paths} == {(24, 24)}
    monkeypatch.setattr(openi, "PREPARATION_VERSION", -1)
    interrupt_after[0] = len(ids)
    with pytest.raises(KeyboardInterrupt):
        build_openi_sim(tmp_path, size_px=24, n_studies=20)
    assert not (tmp_path / "studies.csv").exists()


def test_build_reports_what_is_not_drawn(tmp_path, drawn, capsys):
    studies = build_openi_sim(tmp_path, size_px=16, n_studies=200)
    counts = json.loads((tmp_path / "corpus.json").read_text())["counts"]
    assert counts["codings_drawn"] + counts["codings_not_drawn"] == studies["codes"].map(len).sum()
    assert counts["codings_not_drawn"] > 0
    assert f"{counts['codings_not_drawn']} of" in capsys.readouterr().out


def test_build_with_the_real_simulator(tmp_path):
    studies = build_openi_sim(tmp_path, size_px=64, n_studies=12, workers=1)
    for paths in studies["image_paths"]:
        for path in paths:
            image = read_image(path)
            assert image.shape == (64, 64)
            assert np.ptp(image) > 100
    rendered = pd.read_csv(tmp_path / "rendered.csv")
    assert set(rendered["study_id"]) <= set(studies["study_id"])
    assert build_openi_sim(tmp_path, size_px=64, n_studies=12).to_dict("list") == studies.to_dict("list")


@pytest.mark.parametrize("n_studies", [0, 3420])
def test_subset_out_of_range(tmp_path, drawn, n_studies):
    with pytest.raises(ValueError, match="1 to 3419"):
        build_openi_sim(tmp_path, n_studies=n_studies)


def test_subset_keeps_the_natural_mix_of_codes(reports):
    chosen = openi._choose(reports, 1000)
    complete = openi._choose(reports, None)
    share = [table["codes"].map(lambda codes: "normal" in codes).mean() for table in (chosen, complete)]
    assert abs(share[0] - share[1]) < 0.03
    assert chosen["study_id"].is_unique
    assert set(chosen["study_id"]) <= set(complete["study_id"])
    assert chosen["study_id"].tolist() == openi._choose(reports, 1000)["study_id"].tolist()
