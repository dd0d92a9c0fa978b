"""What a calibration record promises: read off by hand, and refused where it does not belong together."""

import json
import shutil

import numpy as np
import pytest
import torch
from scipy.special import expit

from medprobclip.evaluation.embedding import Embeddings
from medprobclip.retriever.gallery import GalleryError
from medprobclip.retriever.promises import FILM, PHRASE, REPORT, Kind, Promises

RECORD = {
    "platt": {"slope": 1.5, "intercept": -4.0},
    "gallery": 101,
    "fitted_on": {"checkpoint": "c", "test_data": "t"},
    "strangeness": {"image": [1.0, 2.0, 2.0, 3.0], "report": [10.0, 20.0, 30.0, 40.0]},
    "best_right": {"image": [-9.0, -7.0, -5.0, -3.0], "report": [-8.0, -6.0, -4.0, -2.0]},
    "phrases": {
        "1": {"best_right": [0.0, 0.1, 0.2, 0.3], "strangeness": [5.0, 6.0, 7.0, 8.0]},
        "2": {"best_right": [1.0, 1.1, 1.2, 1.3]},
        "4": {"best_right": [2.0, 2.1, 2.2, 2.3], "strangeness": [5.0, 6.0, 7.0, 8.0]},
        "8": {"best_right": [3.0, 3.1, 3.2, 3.3], "strangeness": [5.0, 6.0, 7.0, 8.0]},
    },
    "shortest": 7,
    "wording": [1, 2, 3, 3],
}


@pytest.fixture
def promises():
    return Promises(RECORD, None)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (1, Kind(PHRASE, 1)), (2, Kind(PHRASE, 2)), (3, Kind(PHRASE, 2)), (4, Kind(PHRASE, 4)),
        (5, Kind(PHRASE, 4)), (6, Kind(PHRASE, 4)), (7, Kind(REPORT)), (8, Kind(REPORT)), (90, Kind(REPORT)),
    ],
)  # fmt: skip
def test_a_text_with_fewer_words_than_any_report_is_a_phrase(promises, words, kind):
    assert promises.kind_of(" ".join(["word"] * words)) == kind
    assert promises.kind_of("  " + "\n\t ".join(["Word,"] * words) + " ") == kind


def test_shorter_than_every_piece_is_compared_with_the_shortest():
    phrases = {length: of for length, of in RECORD["phrases"].items() if length != "1"}
    assert Promises(RECORD | {"phrases": phrases}, None).kind_of("effusion") == Kind(PHRASE, 2)


def test_lengths_are_numbers_not_words():
    phrases = {str(length): {} for length in (2, 10, 9)}
    promises = Promises(RECORD | {"phrases": phrases, "shortest": 20}, None)
    assert [promises.kind_of("w " * n).words for n in (1, 5, 9, 10, 19)] == [2, 2, 9, 10, 10]


def test_kinds_ask_one_side_and_find_the_other():
    found = {kind.name: (kind.finds, kind.answers) for kind in (Kind(FILM), Kind(REPORT), Kind(PHRASE, 2))}
    assert found == {
        FILM: ("report", "reports"), REPORT: ("image", "films"), PHRASE: ("image", "films"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "smallest"), [(Kind(FILM), -9), (Kind(REPORT), -8), (Kind(PHRASE, 1), 0), (Kind(PHRASE, 4), 2)]
)
def test_thresholds_by_hand(promises, kind, smallest):
    """The ⌊5 α⌋-th smallest of four."""
    step = 0.1 if kind.name == PHRASE else 2
    for alpha, place in ((0.1, 0), (0.2, 1), (0.39, 1), (0.4, 2), (0.8, 4), (0.99, 4)):
        expected = smallest + step * (place - 1) if place else -np.inf
        assert promises.threshold(kind, alpha) == pytest.approx(expected)


def test_p_values_by_hand(promises):
    told = [(0.0, 1.0), (1.0, 1.0), (1.5, 0.8), (2.0, 0.8), (2.5, 0.4), (3.0, 0.4), (3.5, 0.2)]
    for value, p in told:
        assert promises.p_value(Kind(FILM), value) == pytest.approx(p)
    assert promises.p_value(Kind(REPORT), 3.5) == 1
    assert promises.p_value(Kind(PHRASE, 1), 6.5) == pytest.approx(0.6)
    assert promises.p_value(Kind(FILM), None) is None
    assert promises.p_value(Kind(PHRASE, 2), 6.5) is None
    assert Promises(RECORD | {"strangeness": {}}, None).p_value(Kind(FILM), 1.0) is None


@pytest.mark.parametrize("size", [2, 101, 5000])
def test_probabilities_are_platts_with_the_odds_of_the_gallery(promises, size):
    scores = np.array([-30.0, -3.0, 0.0, 2.5, 3.0, 40.0])
    odds = np.exp(1.5 * scores - 4) * 100 / (size - 1)
    np.testing.assert_allclose(promises.probabilities(Kind(FILM), scores, size), odds / (1 + odds), rtol=1e-9)
    if size == 101:
        np.testing.assert_allclose(promises.probabilities(Kind(FILM), scores, size), expit(1.5 * scores - 4))
    one = scores[:1]
    assert promises.probabilities(Kind(FILM), one, 1) == promises.probabilities(Kind(FILM), one, 2)


def test_a_phrase_fits_a_share_of_the_films_whatever_their_number():
    phrases = {"1": {"platt": {"slope": 2.0, "intercept": 1.0}}, "2": {}}
    promises = Promises(RECORD | {"phrases": phrases}, None)
    scores = np.array([-3.0, 0.0, 2.5])
    for size in (1, 101, 10**6):
        found = promises.probabilities(Kind(PHRASE, 1), scores, size)
        np.testing.assert_allclose(found, expit(2 * scores + 1))
    assert np.isnan(promises.probabilities(Kind(PHRASE, 2), scores, 101)).all()


def test_saved_and_loaded(calibrated_run, tmp_path):
    first = Promises.load(calibrated_run)
    first.save(tmp_path)
    again = Promises.load(tmp_path)
    assert again.record == first.record == json.loads((calibrated_run / "calibration.json").read_text())
    assert again.digest == first.digest
    assert len(again) == len(again.wording) == 12
    assert again.wording.tolist() == first.record["wording"]
    for side in ("image", "report"):
        assert torch.equal(getattr(again.studies, side).mean, getattr(first.studies, side).mean)
    assert torch.equal(again.studies.image_strangeness, first.studies.image_strangeness)


@pytest.fixture
def folder(calibrated_run, tmp_path):
    for name in ("calibration.json", "embeddings-calibrate.safetensors"):
        shutil.copy(calibrated_run / name, tmp_path)
    return tmp_path


def refusal(folder) -> str:
    with pytest.raises(GalleryError) as refused:
        Promises.load(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("lost", ["calibration.json", "embeddings-calibrate.safetensors", *RECORD])
def test_a_run_that_was_not_calibrated_or_by_an_older_version(folder, lost):
    if lost in RECORD:
        record = json.loads((folder / "calibration.json").read_text())
        del record[lost]
        (folder / "calibration.json").write_text(json.dumps(record))
    else:
        (folder / lost).unlink()
    assert refusal(folder) == (
        f"{folder} was not calibrated as this version does, and promises need studies that chose nothing: "
        f"medprobclip calibrate --run {folder} --csv TABLE.csv"
    )


@pytest.mark.parametrize("name", ["calibration.json", "embeddings-calibrate.safetensors"])
@pytest.mark.parametrize("kept", [0, 30])
def test_half_written_files(folder, name, kept):
    (folder / name).write_bytes((folder / name).read_bytes()[:kept])
    message = refusal(folder)
    assert message.startswith(f"{folder / 'calibration.json'} cannot be read (")
    assert message.endswith("); calibrate the run anew")


def test_a_calibration_that_was_interrupted_between_its_two_files(folder):
    """Embeddings of another table beside the record of the former."""
    stored = folder / "embeddings-calibrate.safetensors"
    Embeddings.load(stored).save(stored, Embeddings.source_of(stored) | {"test_data": "another"})
    assert refusal(folder) == (
        f"{folder / 'calibration.json'} and {stored.name} are of two calibrations; calibrate the run anew"
    )


def test_the_digest_is_of_model_and_studies():
    told = {Promises(RECORD, None).digest}
    for name in ("checkpoint", "test_data"):
        fitted_on = RECORD["fitted_on"] | {name: "other"}
        told.add(Promises(RECORD | {"fitted_on": fitted_on}, None).digest)
    assert len(told) == 3
    turned = dict(reversed(RECORD["fitted_on"].items()))
    assert Promises(RECORD | {"fitted_on": turned}, None).digest in told
