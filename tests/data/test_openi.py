"""OpenI reports, read and counted."""

import io
import tarfile

import numpy as np
import pandas as pd
import pytest

from medprobclip.data import openi
from medprobclip.data.assets import fetch
from medprobclip.data.openi import (
    read_openi_reports,
    read_view_positions,
    stated_sex,
    taken_views,
)
from medprobclip.data.reports import same_text

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


def test_subset_keeps_the_natural_mix_of_codes(reports):
    chosen = openi._choose(reports, 1000)
    complete = openi._choose(reports, None)
    share = [table["codes"].map(lambda codes: "normal" in codes).mean() for table in (chosen, complete)]
    assert abs(share[0] - share[1]) < 0.03
    assert chosen["study_id"].is_unique
    assert set(chosen["study_id"]) <= set(complete["study_id"])
    assert chosen["study_id"].tolist() == openi._choose(reports, 1000)["study_id"].tolist()
