"""Expert codes as CheXpert findings: code by code, heading by heading, and over the real reports."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.data.assets import fetch
from medprobclip.data.chexpert import (
    CHEXPERT,
    FINDINGS,
    coded,
    findings_of,
    judged_findings,
    label_findings,
    label_table,
    mapping_table,
    no_finding,
    other_findings,
    unmapped,
)
from medprobclip.data.coding import parse_code
from medprobclip.data.openi import read_openi_reports


@pytest.fixture(scope="module")
def reports() -> pd.DataFrame:
    return read_openi_reports(fetch("openi_reports"))


@pytest.mark.parametrize(
    ("code", "findings"),
    [
        ("Pleural Effusion/right/small", {"Pleural Effusion"}),
        ("Cardiomegaly/borderline", {"Cardiomegaly"}),  # no hierarchy: not Enlarged Cardiomediastinum
        ("Cardiac Shadow/enlarged/mild", {"Cardiomegaly"}),
        ("Cardiac Shadow/irregular", set()),
        ("Heart/right/obscured", set()),
        ("Mediastinum/right/paratracheal/prominent", {"Enlarged Cardiomediastinum"}),
        ("Mediastinum/lymph nodes/enlarged", set()),
        ("Consolidation/lung/lower lobe/left", {"Consolidation"}),  # no hierarchy: not Airspace Opacity
        ("Pneumonia/lower lobe/right", {"Pneumonia"}),
        ("Pulmonary Atelectasis/base/bilateral", {"Atelectasis"}),
        ("Pulmonary Congestion/mild", {"Edema"}),
        ("Heart Failure", {"Edema"}),
        ("Opacity/lung/base/left", {"Airspace Opacity"}),
        ("Opacity/lung/upper lobe/right/round", {"Airspace Opacity", "Lung Lesion"}),
        ("Opacity/ribs/left/anterior/round", set()),
        ("Opacity/pleura/upper lobe/left/irregular", {"Pleural Other"}),
        ("Density/thorax/round/multiple", set()),
        ("Nodule/lung/lingula", {"Lung Lesion"}),
        ("Mass/breast/large", set()),
        ("Cavitation/lung/apex/right", {"Lung Lesion"}),
        ("Calcified Granuloma/lung/base/right", set()),
        ("Granuloma/lung", set()),
        ("Cicatrix/lung/base/left", {"Airspace Opacity"}),
        ("Cicatrix/pleura/apex/bilateral", {"Pleural Other"}),
        ("Cicatrix/breast/right", set()),
        ("Markings/lung/interstitial/prominent", {"Airspace Opacity"}),
        ("Markings/bronchovascular", set()),
        ("Lung/interstitial/prominent", {"Airspace Opacity"}),
        ("Lung/hypoinflation", set()),
        ("Thickening/pleura/right", {"Pleural Other"}),
        ("Thickening/bronchi", {"Airspace Opacity"}),
        ("Pulmonary Fibrosis/interstitial", {"Airspace Opacity"}),
        ("Calcinosis/pleura/base/right", {"Pleural Other"}),
        ("Calcinosis/aorta", set()),
        ("Costophrenic Angle/bilateral/blunted", set()),
        ("Pleura/right/blunted", set()),
        ("Hydropneumothorax/right/large", {"Pneumothorax", "Pleural Effusion"}),
        ("Fractures, Bone/Thoracic Vertebrae", {"Fracture"}),
        ("Deformity/thoracic vertebrae/mild", set()),
        ("Tube, Inserted/trachea", {"Support Devices"}),
        ("Surgical Instruments/abdomen/right", {"Support Devices"}),
        ("Foreign Bodies/thorax/left", set()),
        ("Subcutaneous  Emphysema/right", set()),
        ("normal", set()),
        ("No Indexing", set()),
        ("never/seen", set()),
    ],
)
def test_codes(code, findings):
    assert findings_of(code) == findings


def test_labels_are_the_union_of_a_studys_codes():
    codes = [
        ("Pleural Effusion/right", "Scoliosis", "Opacity/lung/round"),
        ("normal",),
        ("Scoliosis",),
        ("No Indexing",),
        (),
    ]
    labels = label_findings(codes)
    assert labels.columns.tolist() == list(FINDINGS)
    assert set(labels.dtypes) == {np.dtype(bool)}
    assert set(labels.columns[labels.loc[0]]) == {"Pleural Effusion", "Airspace Opacity", "Lung Lesion"}
    assert not labels.loc[1:].any(axis=None)
    np.testing.assert_array_equal(coded(codes), [True, True, True, False, False])
    np.testing.assert_array_equal(no_finding(labels), [False, True, True, True, True])
    np.testing.assert_array_equal(other_findings(codes), [False, False, True, False, False])


def test_no_studies():
    assert label_findings([]).shape == (0, 13)
    assert coded([]).shape == no_finding(label_findings([])).shape == other_findings([]).shape == (0,)
    assert mapping_table([])["studies"].tolist() == [0] * 13
    assert unmapped([]).empty


def test_the_findings_of_the_paper_in_its_order():
    assert len(FINDINGS) == 13
    assert mapping_table([])["finding"].tolist() == list(FINDINGS)
    assert {entry.finding for entry in CHEXPERT} == set(FINDINGS)


def test_every_row_and_every_word_occurs_in_the_reports(reports):
    """A misspelt heading or qualifier would silently label nothing."""
    codings = [parse_code(code) for code in set(reports["codes"].explode())]
    for entry in CHEXPERT:
        for heading in entry.headings:
            of_heading = [coding for coding in codings if coding.heading == heading]
            assert any(entry.covers(coding.code) for coding in of_heading), (entry.finding, heading)
        of_row = set().union(*(coding.words for coding in codings if coding.heading in entry.headings))
        assert set(entry.words) <= of_row, entry
        assert set(entry.without) <= of_row or "Cicatrix" in entry.headings, entry


def test_no_code_lies_both_in_the_lung_and_outside(reports):
    outside = next(e for e in CHEXPERT if e.finding == "Airspace Opacity" and e.without).without
    for code in set(reports["codes"].explode()):
        coding = parse_code(code)
        if coding.heading in ("Opacity", "Density", "Cicatrix"):
            assert not ("lung" in coding.words and coding.words & set(outside)), code


def test_counts_of_the_real_collection(reports):
    codes = reports["codes"]
    labels = label_findings(codes)
    table = mapping_table(codes)
    assert table["studies"].tolist() == labels.sum().tolist()
    for finding, heading in [("Consolidation", "Consolidation"), ("Fracture", "Fractures, Bone")]:
        named = codes.map(lambda study, heading=heading: any(c.split("/")[0] == heading for c in study))
        assert labels[finding].sum() == named.sum()
    assert (~coded(codes)).sum() == codes.map(lambda study: set(study) <= {"No Indexing"}).sum() == 95
    normal = codes.map(lambda study: study == ("normal",)).to_numpy()
    known = coded(codes)
    assert (no_finding(labels) & known).sum() == normal.sum() + other_findings(codes).sum()
    left = unmapped(codes)
    assert left["unmapped"].is_monotonic_decreasing
    abnormal = codes.explode()[lambda code: ~code.isin(["normal", "No Indexing"])]
    assert left["unmapped"].sum() == sum(not findings_of(code) for code in abnormal)
    assert not any(findings_of(code) for code in left["example"])


def test_review_table_tells_codes_of_one_heading_apart():
    table = unmapped(
        [("Opacity/ribs", "Opacity/lung"), ("Opacity/ribs", "normal"), ("Scoliosis",), ("Spine",)]
    )
    assert table.to_dict("records") == [
        {"heading": "Opacity", "unmapped": 2, "mapped": 1, "example": "Opacity/ribs"},
        {"heading": "Scoliosis", "unmapped": 1, "mapped": 0, "example": "Scoliosis"},
        {"heading": "Spine", "unmapped": 1, "mapped": 0, "example": "Spine"},
    ]


def test_headings_are_shown_with_their_words():
    shown = mapping_table([("Pneumonia",)]).set_index("finding")
    assert shown.loc["Enlarged Cardiomediastinum", "headings"] == (
        "Mediastinum (prominent or enlarged, not lymph nodes)"
    )
    assert shown.loc["Cardiomegaly", "headings"].startswith(
        "Cardiomegaly; Cardiac Shadow | Heart (enlarged or"
    )
    assert shown.loc["Pneumonia", "studies"] == 1


LABELLED_CODES = [
    ("Edema", "Pneumonia/uncertain"),
    ("Edema/uncertain",),
    ("normal",),
    (),  # nobody coded it
    ("Lung Opacity", "Edema/uncertain"),
]


def test_a_study_that_may_have_a_finding_is_neither_with_nor_without():
    none = no_finding(judged_findings(LABELLED_CODES))
    assert none.isna().tolist() == [False, True, False, False, False]
    assert none.dropna().tolist() == [False, True, True, False]
    assert other_findings(LABELLED_CODES).tolist() == [False] * 5
    labels = judged_findings(LABELLED_CODES)
    for missing in (None, np.nan, pd.NA):
        assert no_finding(labels.astype(object).where(labels.notna(), missing)).equals(none)


def test_labels_are_counted_as_present_uncertain_and_absent():
    table = label_table(LABELLED_CODES).set_index("label")
    assert table["finding"].tolist() == list(FINDINGS)
    assert table.loc["Edema"].tolist() == ["Edema", 1, 2, 1]
    assert table.loc["Pneumonia"].tolist() == ["Pneumonia", 0, 1, 3]
    assert table.loc["Lung Opacity"].tolist() == ["Airspace Opacity", 1, 0, 3]
    assert table.loc["Fracture"].tolist() == ["Fracture", 0, 0, 4]
    assert label_table([])["absent"].tolist() == [0] * 13
