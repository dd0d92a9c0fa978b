"""Two tables in one pool: scores and right answers as each has them, splits by patient, groups by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pooled import made_pair, without
from scipy.stats import binom

from medprobclip.paper.tables.names import GROUPS
from medprobclip.paper.tables.pooled_studies import Pool, film_groups, finding_groups

pytestmark = pytest.mark.usefixtures("made_model")


@pytest.fixture
def runs():
    return [results["medprobclip"][0] for results in made_pair()]


def test_scores_and_right_answers_within_each_table_are_its_own(runs):
    pool = Pool.of(*runs)
    assert (len(pool), pool.calibration) == (80, 30)
    assert pool.studies["study_id"].tolist() == [one for run in runs for one in run.embeddings.study_ids]
    for part, run in zip((slice(30), slice(30, None)), runs, strict=True):
        np.testing.assert_allclose(pool.scores[part, part], run.scores, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(pool.right["wording"][part, part], run.truth.matches)
        np.testing.assert_array_equal(pool.strangeness["i2t"][part], run.embeddings.image_strangeness)
        np.testing.assert_array_equal(pool.strangeness["t2i"][part], run.embeddings.report_strangeness)


def test_right_answers_across_tables(runs):
    pool = Pool.of(*runs)
    texts, codes = pool.studies["findings"], pool.studies["codes"]
    for i in range(80):
        for j in range(80):
            alike = texts[i] == texts[j]
            assert pool.right["wording"][i, j] == alike
            assert pool.right["coding"][i, j] == (alike or (codes[i] == codes[j] and bool(codes[i])))
    assert pool.right["wording"][:30, 30:].any()


def test_what_the_model_reads_alike_is_alike(runs):
    """Two wordings of one table that become the same tokens, which the run's ids say."""
    first, second = runs
    ids = first.embeddings.text_ids.clone()
    texts = first.truth.studies["findings"]
    i, j = next((i, j) for i in range(30) for j in range(30) if texts[i] != texts[j])
    ids[ids == ids[j]] = ids[i].item()
    pool = Pool.of(replace(first, embeddings=replace(first.embeddings, text_ids=ids)), second)
    assert pool.right["wording"][i, j]
    assert not Pool.of(first, second).right["wording"][i, j]


def test_two_runs_are_no_pool(runs):
    with pytest.raises(ValueError, match="are two runs"):
        Pool.of(runs[0], replace(runs[1], folder=Path("other")))


def test_no_strangeness_is_none():
    runs = [results["medprobclip"][0] for results in made_pair(strange=False)]
    assert Pool.of(*runs).strangeness == {}


def test_every_split_has_as_many_and_every_study_its_chance(runs):
    chosen = Pool.of(*runs).splits(400, seed=1)
    assert (chosen.sum(1) == 30).all()
    low, high = binom.interval(1 - 1e-6, 400, 30 / 80)
    assert ((low <= chosen.sum(0)) & (chosen.sum(0) <= high)).all()
    np.testing.assert_array_equal(chosen, Pool.of(*runs).splits(400, seed=1))
    assert (chosen != Pool.of(*runs).splits(400, seed=2)).any()


def test_patients_are_not_split(runs):
    pool = Pool.of(*runs)
    patients = [f"p{i // 3}" for i in range(80)]
    pool = replace(pool, studies=pool.studies.assign(patient_id=patients))
    for row in pool.splits(50):
        calibrate, test = set(np.array(patients)[row]), set(np.array(patients)[~row])
        assert calibrate.isdisjoint(test)
        assert (len(calibrate), len(test)) == (10, 17)  # as the real tables


def test_a_patient_with_many_studies_calibrates_no_more_often(runs):
    """Whole patients until there are studies enough would draw it too often."""
    pool = Pool.of(*runs)
    pool = replace(pool, studies=pool.studies.assign(patient_id=["many"] * 20 + [*range(60)]))
    chosen = pool.splits(400)
    low, high = binom.interval(1 - 1e-6, 400, 11 / 61)
    assert low <= chosen[:, 0].sum() <= high
    assert ((low <= chosen[:, 20:].sum(0)) & (chosen[:, 20:].sum(0) <= high)).all()
    assert (chosen[:, :20] == chosen[:, :1]).all()


def test_a_thinned_pool_has_whole_patients(runs):
    pool = Pool.of(*runs)
    assert pool.thinned(80) is pool
    pool = replace(pool, studies=pool.studies.assign(patient_id=[i // 4 for i in range(80)]))
    thin = pool.thinned(42, seed=1)
    assert len(thin) == 40
    assert set(thin.studies["patient_id"].value_counts()) == {4}
    rows = pool.studies.index[pool.studies["study_id"].isin(thin.studies["study_id"])]
    assert thin.studies["study_id"].tolist() == pool.studies["study_id"][rows].tolist()
    assert thin.calibration == (rows < 30).sum()
    for i, row in enumerate(rows):
        assert thin.scores[i].tolist() == pool.scores[row, rows].tolist()
        assert thin.right["coding"][i].tolist() == pool.right["coding"][row, rows].tolist()
        assert thin.strangeness["t2i"][i] == pool.strangeness["t2i"][row]


def test_somebody_is_left_to_be_tested(runs):
    pool = Pool.of(*runs)
    pool = replace(pool, studies=pool.studies.assign(patient_id=["a"] * 29 + ["b"] * 51))
    chosen = pool.splits(20)
    assert (chosen.sum(1) == np.where(chosen[:, 0], 29, 51)).all()


def test_without_a_coding_wording_alone_is_right():
    pair = made_pair()
    calibration, test = (results["medprobclip"][0] for results in without(pair, "codes"))
    assert set(Pool.of(calibration, test).right) == {"wording"}
    coded = pair[1]["medprobclip"][0]
    half = Pool.of(calibration, coded)  # of which only one was coded
    np.testing.assert_array_equal(
        half.right["coding"][30:, 30:], Pool.of(coded, coded).right["coding"][50:, 50:]
    )
    np.testing.assert_array_equal(half.right["coding"][:30], half.right["wording"][:30])
    assert set(finding_groups(half.studies)[:30]) == {"not coded"}


def test_each_calibration_query_is_asked_with_its_own_item_beside_the_test_items(runs):
    pool = Pool.of(*runs)
    scores, right = pool.scores.T, pool.right["wording"].T
    fitted, asked = pool.beside_test(scores, right)
    for own, whole in zip(fitted, (scores, right), strict=True):
        assert own.shape == (30, 51)
        for i in range(30):
            assert own[i].tolist() == [whole[i, i], *whole[i, 30:]]
    for own, whole in zip(asked, (scores, right), strict=True):
        np.testing.assert_array_equal(own, whole[30:, 30:])


@pytest.mark.parametrize(
    ("codes", "group"),
    [
        (("normal",), "normal"),
        ((), "not coded"),
        (("No Indexing",), "not coded"),
        (("Scoliosis",), "outside the findings"),
        (("Cardiomegaly", "Opacity/lung/base/left"), "Cardiomegaly"),
        (("Pulmonary Atelectasis", "Cardiomegaly", "Scoliosis"), "Atelectasis"),
        (("Catheters, Indwelling", "Airspace Disease"), "Support Devices"),
        (("Pleural Effusion/left", "Airspace Disease"), "Airspace Opacity"),
        (("Pleural Effusion/left", "Scoliosis"), "another finding"),
        (("Edema",), "another finding"),  # labels
        (("Lung Opacity", "Edema/uncertain"), "Airspace Opacity"),
        (("Edema/uncertain", "Pneumonia"), "another finding"),
        (("Lung Opacity/uncertain", "Edema/uncertain"), "only uncertain"),
    ],
)
def test_every_study_has_one_group(codes, group):
    assert finding_groups(pd.DataFrame({"codes": [codes, ("normal",)]})).tolist() == [group, "normal"]
    assert group in GROUPS


def test_groups_of_films():
    studies = pd.DataFrame({"image_paths": [("a",), ("a", "b"), ("a", "b", "c")]})
    assert film_groups(studies).tolist() == ["one film", "several films", "several films"]
    assert set(film_groups(studies)) <= set(GROUPS)
