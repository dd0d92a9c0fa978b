"""The readability check: patients, labels, verdicts, and a tiny check from codes to figure."""

from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from medprobclip.commands import readability as command
from medprobclip.data.coding import parse_code
from medprobclip.evaluation.discrimination import auroc
from medprobclip.paper.classifier import Classifier, mean_auroc, predict, train
from medprobclip.paper.figures import catalogue as figures
from medprobclip.paper.readability import (
    KINDS,
    PARTS,
    check_readability,
    codes_by_kind,
    invent_patients,
    judge,
    label_matrix,
    readability_table,
    split_patients,
)
from medprobclip.settings import ClassifierConfig, ReadabilityConfig
from medprobclip.simulator.findings import RULES, find_rule
from medprobclip.training.loop import TrainingError

CORPUS = ("Cardiomegaly/mild", "Cardiomegaly/mild", "Cardiac Shadow/enlarged", "normal", "Nipple Shadow")


def kind_of(code: str) -> str:
    return find_rule(parse_code(code)).kind


def test_codes_keep_the_frequency_of_the_corpus_and_cover_every_kind():
    codes = codes_by_kind(CORPUS)
    assert codes["cardiomegaly"] == ["Cardiomegaly/mild"] * 2 + ["Cardiac Shadow/enlarged"]
    assert set(codes) == {rule.kind for rule in RULES}
    for kind, written in codes.items():
        assert written
        assert {kind_of(code) for code in written} == {kind}


def test_patients_are_balanced_and_the_same_every_time():
    codes = codes_by_kind(CORPUS)
    patients = invent_patients(600, codes)
    kinds = [[kind_of(code) for code in row] for row in patients["codes"]]
    assert all(len(set(row)) == len(row) for row in kinds)
    counts = Counter(map(len, kinds))
    assert sorted(counts) == [0, 1, 2, 3, 4]
    assert all(80 < n < 160 for n in counts.values())  # 120 expected, spread 10
    for rows in split_patients(600).values():
        frequency = Counter(kind for i in rows for kind in kinds[i])
        assert max(frequency.values()) - min(frequency[kind] for kind in KINDS) <= 2
    hearts = Counter(code for row in patients["codes"] for code in row if kind_of(code) == "cardiomegaly")
    assert hearts["Cardiomegaly/mild"] > hearts["Cardiac Shadow/enlarged"] > 0

    pd.testing.assert_frame_equal(patients, invent_patients(600, codes))
    pd.testing.assert_frame_equal(patients.head(50), invent_patients(50, codes))


def test_no_patient_is_in_two_parts():
    for count in (10, 24, 6000):
        parts = split_patients(count)
        assert sorted(np.concatenate(list(parts.values()))) == list(range(count))
        for name, share in PARTS.items():
            assert abs(len(parts[name]) - share * count) <= 1
    with pytest.raises(ValueError, match="take more"):
        split_patients(3)


def test_labels_are_what_was_drawn():
    rendered = pd.DataFrame(
        [("b", "nodule"), ("b", "nodule"), ("b", "effusion"), ("c", "mass")], columns=["study_id", "kind"]
    )
    labels = label_matrix(["a", "b", "c"], rendered)
    named = [{kind for kind, is_there in zip(KINDS, row, strict=True) if is_there} for row in labels]
    assert named == [set(), {"nodule", "effusion"}, {"mass"}]
    assert label_matrix(["a"], rendered[:0]).sum() == 0


def test_verdicts():
    config = ReadabilityConfig(hard_below=0.75, small_mm=20, subtle=0.5)
    assert judge(0.75, 5, 0.1, config) == "readable"
    assert judge(0.74, 19.9, 0.1, config) == "small"
    assert judge(0.74, 20, 0.49, config) == "subtle"
    assert judge(0.74, 20, 0.5, config) == "wrong"


def test_table_counts_and_measures_each_kind():
    rng = np.random.default_rng(0)
    labels = np.zeros((50, len(KINDS)), dtype=bool)
    labels[:10, 0] = labels[5:25, 1] = True
    labels[:, 2] = True
    scores = rng.normal(size=labels.shape) + labels
    rendered = pd.DataFrame(
        {"kind": [KINDS[0]] * 3, "size_mm": [1, 4, 9], "pa_conspicuity": [0.1, 0.2, None],
         "lateral_conspicuity": [0.3, None, 0.1]}
    )  # fmt: skip
    table = readability_table(scores, labels, labels[:20], rendered, ReadabilityConfig())
    assert table["auroc"].dropna().is_monotonic_decreasing
    rows = table.set_index("kind")
    assert set(rows.index) == set(KINDS)
    first, second = rows.loc[KINDS[0]], rows.loc[KINDS[1]]
    assert (first["positives"], first["negatives"], first["training_positives"]) == (10, 40, 10)
    assert (second["positives"], second["negatives"], second["training_positives"]) == (20, 30, 15)
    assert (first["size_mm"], first["conspicuity"]) == (4, 0.2)
    assert first["low"] < first["auroc"] == auroc(scores[:, 0], labels[:, 0]) < first["high"]
    for kind in KINDS[2:]:
        assert rows.loc[kind, "verdict"] == "not measured"
        assert np.isnan(rows.loc[kind, "auroc"])


def bright_squares(count: int) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures whose labels are: a square in the PA, a square in the lateral."""
    rng = np.random.default_rng(1)
    labels = rng.random((count, 2)) < 0.5
    images = rng.normal(90, 10, (count, 2, 32, 32))
    images[:, :, 8:20, 8:20] += 100 * labels[:, :, None, None]
    return torch.from_numpy(images.clip(0, 255).astype(np.uint8)), labels


def test_the_classifier_sees_each_view_and_keeps_its_best_epoch(float32):
    images, labels = bright_squares(120)
    parts = {"train": np.arange(80), "validation": np.arange(80, 100)}
    config = ClassifierConfig("tiny-resnet", epochs=4, batch_size=8, learning_rate=5e-3)
    model, history = train(images, labels, parts, config)
    scores = predict(model, images)
    assert all(auroc(scores[100:, view], labels[100:, view]) > 0.95 for view in (0, 1))
    kept = mean_auroc(scores[80:100], labels[80:100])
    assert kept == pytest.approx(history["validation"].max(), abs=1e-6)
    again, _ = train(images, labels, parts, config)
    np.testing.assert_allclose(predict(again, images), scores, atol=1e-3)


def test_training_refuses_what_it_cannot_do():
    images, labels = bright_squares(20)
    config = ClassifierConfig("tiny-resnet", epochs=1, batch_size=8)
    with pytest.raises(TrainingError, match="lower batch_size"):
        train(images, labels, {"train": np.arange(4), "validation": np.arange(4, 20)}, config)
    labels[8:] = False
    with pytest.raises(TrainingError, match="raise patients"):
        train(images, labels, {"train": np.arange(8), "validation": np.arange(8, 20)}, config)


def test_prediction_is_by_patient_not_by_batch(float32):
    torch.manual_seed(0)
    images, _ = bright_squares(9)
    model = Classifier("tiny-resnet", 3)
    together = predict(model, images)
    alone = np.concatenate([predict(model, image[None]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_tiny_check_from_codes_to_figure(tmp_path, monkeypatch, capsys):
    config = ReadabilityConfig(patients=30, size_px=64)
    classifier = ClassifierConfig("tiny-resnet", epochs=1, batch_size=8)
    table = check_readability(codes_by_kind(CORPUS), tmp_path, config, classifier)
    stored = pd.read_csv(tmp_path / "readability.csv")
    pd.testing.assert_frame_equal(stored, table, rtol=1e-5, check_dtype=False)
    assert set(table["kind"]) == set(KINDS)
    assert (table["positives"] + table["negatives"] == 6).all()
    measured = table[table["verdict"] != "not measured"]
    assert len(measured) == (table["positives"] > 0).sum() > 3
    assert ((measured["low"] <= measured["auroc"]) & (measured["auroc"] <= measured["high"])).all()
    ax = figures.readability(table, 0.75).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == table["kind"].tolist()
    drawn = {
        (x, table["kind"][y]) for bars in ax.containers for x, y in zip(*bars[0].get_data(), strict=True)
    }
    assert drawn == set(zip(measured["auroc"], measured["kind"], strict=True))

    # The command on the same settings renders nothing again, and leaves the committed figure alone.
    def rendered_again(*args):
        raise AssertionError("a finished radiograph was rendered again")

    monkeypatch.setattr("medprobclip.simulator.corpus.simulate_study", rendered_again)
    reports = pd.DataFrame({"codes": [CORPUS, ()]})
    monkeypatch.setattr("medprobclip.data.assets.fetch", str)
    monkeypatch.setattr("medprobclip.data.openi.read_openi_reports", lambda path: reports)
    monkeypatch.setattr(command, "OUT", tmp_path)
    flags = "--patients 30 --size_px 64 --encoder tiny-resnet --epochs 1 --batch_size 8"
    command.main(flags.split())
    assert (tmp_path / "readability.png").is_file()
    printed = capsys.readouterr().out
    hard = measured[measured["verdict"] != "readable"]
    assert f"{len(hard)} of {len(KINDS)} kinds are hard" in printed
    assert all(kind in printed for kind in KINDS)
    plt.close("all")
