"""Zero-shot classification of made-up scores: thresholds and the table, against scikit-learn and loops."""

import numpy as np
import pandas as pd
import pytest
from counting import lines_run
from hypothesis import given, settings, strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from medprobclip.data.chexpert import FINDINGS, no_finding
from medprobclip.evaluation import zeroshot
from medprobclip.evaluation.discrimination import auroc
from medprobclip.evaluation.zeroshot import (
    COLUMNS,
    NONE,
    auroc_draws,
    balanced_accuracy,
    best_threshold,
    no_finding_score,
    resampled_aurocs,
    zero_shot_table,
)

CASES = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=25)


def both_kinds(cases):
    scores, labels = (np.array(column) for column in zip(*cases, strict=True))
    return (scores, labels) if 0 < labels.sum() < len(labels) else None


def make_studies(n: int, seed: int, rare: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and labels [n, 13] that go together; `rare` is in no study."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, 13)) < 0.15
    scores = rng.normal(size=(n, 13)).round(1) + labels
    labels, scores = (pd.DataFrame(values, columns=list(FINDINGS)) for values in (labels, scores))
    if rare:
        labels[rare] = False
    return scores, labels


# -- thresholds


@settings(max_examples=40)
@given(CASES, st.integers(-4, 4))
def test_balanced_accuracy_is_that_of_scikit_learn(cases, threshold):
    if kinds := both_kinds(cases):
        scores, labels = kinds
        expected = balanced_accuracy_score(labels, scores >= threshold)
        assert balanced_accuracy(scores, labels, threshold) == pytest.approx(expected)


@settings(max_examples=40)
@given(CASES)
def test_threshold_is_the_lowest_of_the_best(cases):
    if kinds := both_kinds(cases):
        scores, labels = kinds
        values = np.unique(scores)
        cuts = [values[0], *(values[1:] + values[:-1]) / 2]
        reached = np.array([balanced_accuracy_score(labels, scores >= cut) for cut in cuts])
        best = cuts[np.flatnonzero(reached > reached.max() - 1e-12)[0]]
        assert best_threshold(scores, labels) == best
        order = np.random.default_rng(0).permutation(len(scores))
        assert best_threshold(scores[order], labels[order]) == best


def test_known_thresholds():
    assert best_threshold([0, 1, 4, 5], [0, 0, 1, 1]) == 2.5
    assert best_threshold([0, 1, 2, 3], [0, 1, 0, 1]) == 0.5  # as good as 2.5
    assert best_threshold([0, 1], [1, 0]) == 0  # nothing beats calling all positive
    assert best_threshold([2, 2, 2], [1, 0, 0]) == 2
    high = np.nextafter(1, 2)
    assert best_threshold([1, high], [0, 1]) == high  # no number lies between
    assert balanced_accuracy([1, high], [0, 1], high) == 1


def test_bad_input_is_refused():
    for function in (best_threshold, lambda s, y: balanced_accuracy(s, y, 0)):
        with pytest.raises(ValueError, match="0 of 2"):
            function([1, 2], [False, False])
        with pytest.raises(ValueError, match="2 of 2"):
            function([1, 2], [True, True])
    with pytest.raises(ValueError, match="NaN"):
        best_threshold([1, np.nan], [True, False])
    with pytest.raises(ValueError, match="one shape"):
        best_threshold([1, 2, 3], [True, False])


# -- the table


@settings(max_examples=40)
@given(CASES, st.integers(0, 99))
def test_resampled_aurocs_are_those_of_repeated_studies(cases, seed):
    scores, labels = (np.array(column) for column in zip(*cases, strict=True))
    times = np.random.default_rng(seed).integers(0, 4, (5, len(cases)))
    for row, area in zip(times, resampled_aurocs(scores, labels, times), strict=True):
        s, y = scores.repeat(row), labels.repeat(row)
        if 0 < y.sum() < len(y):
            assert area == pytest.approx(auroc(s, y))
        else:
            assert np.isnan(area)


@pytest.fixture(scope="module")
def studies():
    """Validation lacks Pneumothorax, test lacks Fracture and has Edema once."""
    known, test = make_studies(80, seed=1, rare="Pneumothorax"), make_studies(150, seed=2, rare="Fracture")
    test[1]["Edema"] = np.arange(150) == 7
    return *known, *test


def test_table_row_by_row(studies):
    known, known_labels, scores, labels = studies
    table = zero_shot_table(*studies)
    assert table.columns.tolist() == COLUMNS
    assert table["finding"].tolist() == [*FINDINGS, "Mean", NONE]
    rows = table.set_index("finding")
    for finding in set(FINDINGS) - {"Fracture", "Pneumothorax"}:
        row, s, y = rows.loc[finding], scores[finding].to_numpy(), labels[finding].to_numpy()
        assert row["auroc"] == pytest.approx(roc_auc_score(y, s))
        assert (row["positives"], row["negatives"]) == (y.sum(), (~y).sum())
        assert row["threshold"] == best_threshold(known[finding], known_labels[finding])
        called = s >= row["threshold"]
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, called))
        assert row["findings"] is pd.NA
    y = no_finding(labels)
    assert rows.loc[NONE, "auroc"] == pytest.approx(roc_auc_score(y, no_finding_score(scores, known)))
    assert rows.loc[NONE, "positives"] == y.sum()
    assert rows.loc[NONE, "threshold"] < 0


def test_what_cannot_be_judged_is_absent_and_counted(studies):
    rows = zero_shot_table(*studies).set_index("finding")
    fracture, pneumothorax = rows.loc["Fracture"], rows.loc["Pneumothorax"]
    assert fracture[["auroc", "balanced_accuracy", "threshold"]].isna().all()
    assert (fracture["positives"], fracture["negatives"]) == (0, 150)
    assert pneumothorax[["threshold", "balanced_accuracy"]].isna().all()
    assert 0 <= pneumothorax["auroc"] <= 1
    assert rows.loc["Edema", "positives"] == 1
    assert rows.loc["Mean", "findings"] == 12
    assert rows.loc["Mean", "auroc"] == pytest.approx(rows.loc[list(FINDINGS), "auroc"].mean())
    assert pd.isna(rows.loc["Mean", "positives"])


def test_draws_of_the_areas_and_their_mean_resample_studies_jointly(studies):
    """Against a loop over the draws; a draw without the only case of edema averages the other findings."""
    known, _, scores, labels = studies
    none = pd.DataFrame({NONE: no_finding(labels)}), pd.DataFrame({NONE: no_finding_score(scores, known)})
    truths, values = pd.concat([labels, none[0]], axis=1), pd.concat([scores, none[1]], axis=1)
    drawn = np.random.default_rng(3).integers(0, 150, (200, 150))
    draws = auroc_draws(known, scores, labels, np.stack([np.bincount(row, minlength=150) for row in drawn]))
    assert list(draws) == [*(finding for finding in FINDINGS if finding != "Fracture"), "Mean", NONE]
    assert 0 < np.isnan(draws["Edema"]).sum() < 200
    for draw, row in enumerate(drawn):
        areas = {}
        for finding in (*FINDINGS, NONE):
            y = truths[finding].to_numpy()[row]
            if 0 < y.sum() < 150:
                areas[finding] = auroc(values[finding].to_numpy()[row], y)
                assert draws[finding][draw] == pytest.approx(areas[finding])
            else:
                assert finding not in draws or np.isnan(draws[finding][draw])
        del areas[NONE]
        assert draws["Mean"][draw] == pytest.approx(np.mean(list(areas.values())))


def test_table_is_deterministic_whatever_the_order_of_columns(studies):
    known, known_labels, scores, labels = studies
    first = zero_shot_table(*studies)
    turned = zero_shot_table(known, known_labels[known.columns[::-1]], scores[known.columns[::-1]], labels)
    pd.testing.assert_frame_equal(first, turned)


def test_studies_without_any_finding():
    """Only No Finding is left, and that has no negatives either."""
    known, test = make_studies(20, seed=0), make_studies(15, seed=1)
    table = zero_shot_table(*known, test[0], test[1] & False).set_index("finding")
    assert table["auroc"].isna().all()
    assert table.loc["Mean", "findings"] == 0
    assert (table.loc[NONE, "positives"], table.loc[NONE, "negatives"]) == (15, 0)


def test_separable_scores_are_perfect():
    known, test = make_studies(60, seed=0), make_studies(90, seed=4)
    known, test = ((labels * 8.0 + 0.01 * scores, labels) for scores, labels in (known, test))
    table = zero_shot_table(*known, *test)
    assert (table["auroc"].to_numpy() == 1).all()
    assert (table["balanced_accuracy"].drop(13).to_numpy() == 1).all()


def test_no_loop_runs_over_the_draws():
    """Draws of the published number and size: fewer lines run than there are draws."""
    (known, _), (scores, labels) = make_studies(342, seed=0), make_studies(684, seed=1)
    times = np.random.default_rng(2).integers(0, 3, (2000, 684))
    assert lines_run(lambda: auroc_draws(known, scores, labels, times), zeroshot) < 2000


# -- uncertain labels


def judged(**columns) -> pd.DataFrame:
    """Labels of five studies; None is uncertain, and what is not named absent."""
    absent = dict.fromkeys(FINDINGS, [False] * 5)
    return pd.DataFrame(absent | {name.replace("_", " "): of for name, of in columns.items()}).astype(
        "boolean"
    )


def by_hand() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and labels: study 1 may have edema, study 4 may have pneumonia and has a fracture."""
    labels = judged(
        Edema=[True, None, False, False, True],
        Pneumonia=[False, False, False, False, None],
        Fracture=[False, False, False, False, True],
    )
    scores = pd.DataFrame(0.0, index=range(5), columns=list(FINDINGS))
    return scores.assign(Edema=[0.9, 5.0, 0.1, 0.6, 0.3], Fracture=[0.0, 9.0, 0.0, 0.0, 1.0]), labels


def test_uncertain_labels_are_left_out_of_what_they_say():
    scores, labels = by_hand()
    rows = zero_shot_table(scores, labels, scores, labels).set_index("finding")
    edema = rows.loc["Edema"]  # positive 0.9 and 0.3, negative 0.1 and 0.6: three pairs of four
    assert (edema["positives"], edema["negatives"], edema["auroc"]) == (2, 2, 0.75)
    assert edema["threshold"] == pytest.approx(0.2)  # between 0.1 and 0.3
    assert edema["balanced_accuracy"] == 0.75
    assert (rows.loc["Fracture", "positives"], rows.loc["Fracture", "negatives"]) == (1, 4)
    assert rows.loc["Fracture", "auroc"] == 0.75  # study 1 scores 9, and is judged in this finding
    assert (rows.loc["Pneumonia", "positives"], rows.loc["Pneumonia", "negatives"]) == (0, 4)
    assert np.isnan(rows.loc["Pneumonia", "auroc"])
    assert (rows.loc[NONE, "positives"], rows.loc[NONE, "negatives"]) == (2, 2)  # study 1 is not judged
    assert rows.loc["Mean", "auroc"] == 0.75


def test_draws_leave_uncertain_labels_out_however_often_they_are_drawn():
    scores, labels = by_hand()
    times = np.array([[1, 1, 1, 1, 1], [1, 7, 1, 0, 0], [0, 3, 1, 1, 2], [0, 5, 1, 1, 0]])
    draws = auroc_draws(scores, scores, labels, times)
    np.testing.assert_allclose(draws["Edema"], [0.75, 1.0, 0.5, np.nan])
    assert "Pneumonia" not in draws
    assert np.isnan(draws["Mean"]).tolist() == [False, False, False, True]  # the last has no positive at all


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_no_kind_of_missing_label_passes_for_a_positive(missing):
    scores, labels = by_hand()
    loose = labels.astype(object).where(labels.notna(), missing)
    table, same = (zero_shot_table(scores, each, scores, each) for each in (labels, loose))
    pd.testing.assert_frame_equal(table, same)
    times = np.ones((1, 5), dtype=int)
    assert auroc_draws(scores, scores, loose, times) == auroc_draws(scores, scores, labels, times)
