"""Ask a trained run: ranks, probabilities, sets and doubts as by hand from the model's own scores."""

from copy import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from galleries import drawn_studies
from PIL import Image
from transformers import AutoModel, AutoProcessor

import medprobclip
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.conformal import p_values
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.gaussian import Gaussian
from medprobclip.retriever import indexing, retriever as module
from medprobclip.retriever.gallery import GalleryError, Studies
from medprobclip.retriever.promises import FILM, PHRASE, REPORT, Kind
from medprobclip.retriever.queries import Asked
from medprobclip.retriever.retriever import Retriever
from medprobclip.retriever.scoring import scored
from medprobclip.retriever.settings import AnswerConfig

TEXT = "A small opacity 4 in the left base."


@pytest.fixture(autouse=True)
def _float32(float32):
    pass


@pytest.fixture(scope="module")
def indexed(calibrated_run, study_tables):
    """Twelve test studies; do not add to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medprobclip.support.precision.has_bfloat16", lambda device: False)
        retriever = Retriever.from_run(calibrated_run)
        assert retriever.index(study_tables["test"]) == 12
    return retriever


@pytest.fixture
def retriever(calibrated_run):
    return Retriever.from_run(calibrated_run)


@pytest.fixture
def film(study_tables):
    return study_tables["test"].parent / "test-3-pa.png"


@torch.no_grad()
def by_hand(run, csv, query, findings=True):
    """Study ids in the order of the model's logits, and these: of three lines with transformers."""
    table = pd.read_csv(csv)
    model = AutoModel.from_pretrained(run / "checkpoint").eval()
    processor = AutoProcessor.from_pretrained(run / "checkpoint")
    if isinstance(query, str):
        x = model.encode_text(**processor(text=query))
        pictures = [str(csv.parent / paths.split(";")[0]) for paths in table["image_paths"]]
        y = model.encode_image(**processor(images=pictures))
    else:
        x = model.encode_image(**processor(images=query))
        y = model.encode_text(**processor(text=table["findings"].tolist()))
    scores = model.similarity(x, y)[0].numpy()
    order = np.argsort(-scores, kind="stable")
    return table["study_id"].to_numpy()[order], scores[order].astype(float)


@pytest.mark.parametrize("words", [TEXT, "opacity", "left base"])
def test_words_find_films(indexed, calibrated_run, study_tables, words):
    ids, scores = by_hand(calibrated_run, study_tables["test"], words)
    answers = indexed.search(words, k=12)
    np.testing.assert_allclose(answers.table["score"], scores, rtol=1e-4)
    gaps = np.diff(scores, prepend=np.inf, append=-np.inf)
    clear = (np.abs(gaps[:-1]) > 1e-3) & (np.abs(gaps[1:]) > 1e-3)  # others may change places
    assert clear.sum() >= 3
    assert answers.table["study_id"][clear].tolist() == ids[clear].tolist()
    assert sorted(answers.table["study_id"]) == sorted(ids)


def test_a_film_finds_reports(indexed, calibrated_run, study_tables, film):
    ids, scores = by_hand(calibrated_run, study_tables["test"], film)
    answers = indexed.search(film, k=5, alpha=0.4)
    table, record = answers.table, indexed.promises.record
    np.testing.assert_allclose(table["score"], scores[:5], rtol=1e-4)
    assert table["rank"].tolist() == [1, 2, 3, 4, 5]
    assert list(table) == ["rank", "study_id", "score", "probability", "in_set"]
    threshold = sorted(record["best_right"]["image"])[int(0.4 * 13) - 1]
    assert table["in_set"].tolist() == [score >= threshold for score in table["score"]]
    assert answers.set_size == sum(indexed.search(film, k=12, alpha=0.4).table["score"] >= threshold)
    odds = np.exp(record["platt"]["slope"] * table["score"] + record["platt"]["intercept"])  # 12 as fitted
    np.testing.assert_allclose(table["probability"], odds / (1 + odds), rtol=1e-9)
    assert (answers.kind, answers.studies, answers.alpha) == (Kind(FILM), 12, 0.4)
    told = float(
        p_values(np.array([strangeness_of(indexed, film)]), np.array(record["strangeness"]["image"]))[0]
    )
    assert answers.p_strange == told
    assert len(answers) == 5


def strangeness_of(retriever, film) -> float:
    pixels = retriever.processor(images=film)["pixel_values"]
    with torch.no_grad():
        inner = retriever.model.encode_image_and_inner(pixels)[1]
    return float(retriever.strangeness.image.strangeness(inner))


def test_a_batch_is_as_one_by_one(indexed, study_tables):
    folder = study_tables["test"].parent
    queries = [
        TEXT,
        folder / "test-1-pa.png",
        "opacity",
        np.asarray(Image.open(folder / "test-2-pa.png")),
        "left",
    ]
    many = indexed.search(queries, k=4)
    assert [answers.kind.name for answers in many] == [REPORT, FILM, PHRASE, FILM, PHRASE]
    for query, answers in zip(queries, many, strict=True):
        alone = indexed.search(query, k=4)
        np.testing.assert_allclose(alone.table["score"], answers.table["score"], rtol=1e-4)
        told = [(a.kind, a.p_strange, a.set_size, a.abstain, a.reason, a.promise) for a in (alone, answers)]
        assert told[0] == told[1]
        assert alone.ambiguity == answers.ambiguity
    assert indexed.search([]) == []
    assert [a.kind for a in indexed.search(iter(["opacity"]))] == [Kind(PHRASE, 1)]


def test_films_of_noise_are_strange_and_not_answered(indexed, film):
    indexed = with_config(indexed, strange_rate=0.1)  # 12 studies: no p-value is below 1 / 13
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    answers = indexed.search([noise, film])
    assert answers[0].abstain
    assert answers[0].p_strange == pytest.approx(1 / 13)
    assert answers[0].reason.startswith("unlike any film it was trained on (p = 0.077")
    assert len(answers[0].table) == 10  # shown all the same
    assert not answers[1].reason.startswith("unlike")


def with_config(retriever, **settings) -> Retriever:
    """The same retriever with other defaults."""
    other = copy(retriever)
    other.config = replace(retriever.config, **settings)
    return other


def test_defaults_are_those_of_the_settings(indexed, film):
    for k, alpha in ((3, 0.2), (7, 0.5)):
        other = with_config(indexed, k=k, alpha=alpha)
        assert (len(other.search(film)), other.search(film).alpha) == (k, alpha)
        assert (len(other.search(film, k=2)), other.search(film, alpha=0.3).alpha) == (2, 0.3)
    assert indexed.config == AnswerConfig()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"k": 13}, GalleryError, "^k = 13, but the index holds 12 studies: ask for 1 to 12$"),
        ({"k": 0}, ValueError, "^k = 0 is out of range"),
        ({"alpha": 0}, ValueError, "^alpha = 0 is out of range"),
        ({"alpha": 1.0}, ValueError, "^alpha = 1.0 is out of range"),
        ({"alpha": float("nan")}, ValueError, "^alpha = nan is out of range"),
    ],
)
def test_what_cannot_be_asked(indexed, film, settings, error, message):
    for query in (film, "opacity", [film, "opacity"]):
        with pytest.raises(error, match=message):
            indexed.search(query, **settings)


def test_an_empty_index_and_other_dimensions(retriever, indexed):
    with pytest.raises(GalleryError, match=r"^the index holds no studies yet; add some \(Retriever.index"):
        retriever.search("opacity", k=1)
    asked = Asked([Kind(FILM)], drawn_studies(1, dim=5).image, [None])
    with pytest.raises(GalleryError, match="^the query has 5 dimensions, the index 8$"):
        indexed.search_embedded(asked)
    with pytest.raises(GalleryError, match="^the studies have 5 dimensions, the index 8$"):
        retriever.index(drawn_studies(1, dim=5))


@pytest.mark.parametrize("form", ["csv", "str", "relative", "table"])
def test_a_table_in_every_form_and_once(retriever, indexed, study_tables, monkeypatch, form):
    monkeypatch.setattr(indexing, "PIECE", 5)
    monkeypatch.chdir(study_tables["test"].parent)
    csv = study_tables["test"]
    table = {"csv": csv, "str": str(csv), "relative": "test.csv", "table": read_studies(csv)}[form]
    assert retriever.index(table) == 12
    assert retriever.index(table) == 0
    assert [part.study_ids for part in retriever.gallery.parts] == [
        [f"test-{i}" for i in range(*ends)] for ends in ((0, 5), (5, 10), (10, 12))
    ]
    for side in ("image", "report"):
        ours = Gaussian.cat([part.side(side) for part in retriever.gallery.parts])
        theirs = indexed.gallery.parts[0].side(side)
        torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.log_var, theirs.log_var, rtol=1e-4, atol=1e-5)
    assert torch.equal(retriever.gallery.wording, indexed.gallery.wording)
    assert len(set(indexed.gallery.wording.tolist())) == 11  # two read alike


def test_studies_without_findings_are_left_out(retriever, study_tables, capsys):
    table = read_studies(study_tables["test"])
    table.loc[[2, 5], "findings"] = "XXXX"
    assert retriever.index(table, progress=True) == 10
    assert "studies: 10 studies, 2 without findings left out" in capsys.readouterr().out
    assert "test-2" not in retriever.gallery.wordings
    table["findings"] = ""
    with pytest.raises(GalleryError, match="^studies: none of 12 studies has findings$"):
        retriever.index(table)


def test_another_report_of_a_study_is_refused(retriever, study_tables):
    table = read_studies(study_tables["test"])
    retriever.index(table)
    table.loc[[4, 7], "findings"] = "Something else."
    with pytest.raises(GalleryError) as refused:
        retriever.index(table)
    assert str(refused.value) == (
        "studies: 2 studies are in the index with another report, first test-4. A study of the index never "
        "changes: give the new report a new id, or build the index anew"
    )


def test_tables_of_another_form_are_refused(retriever, study_tables):
    raw = pd.read_csv(study_tables["test"])
    with pytest.raises(
        GalleryError, match="^image_paths are to be lists of paths: read the table with read_st"
    ):
        retriever.index(raw)
    with pytest.raises(
        GalleryError, match="^the table lacks findings, view_names; read it with read_studies$"
    ):
        retriever.index(raw.drop(columns=["findings", "view_names"]))


def test_embeddings_can_be_found_and_read_alike_as_before(retriever, indexed, calibrated_run):
    stored = Embeddings.load(calibrated_run / "embeddings-calibrate.safetensors")
    assert retriever.index(stored) == 12
    assert retriever.index(stored) == 0
    wording = retriever.gallery.wording
    assert (wording[:, None] == wording).equal(stored.text_ids[:, None] == stored.text_ids)
    top = retriever.search_embedded(Asked([Kind(FILM)], stored.image[[3]], [None]), k=12)[0]
    scores = stored.scores(retriever.model)[3]
    np.testing.assert_allclose(top.table["score"], np.sort(scores)[::-1], rtol=1e-5)
    assert top.p_strange is None


def test_text_is_shown_only_where_it_was_asked_for(retriever, study_tables, film, calibrated_run):
    retriever.index(study_tables["test"], with_text=True)
    shown = retriever.search(film, k=12).table
    texts = pd.read_csv(study_tables["test"]).set_index("study_id")["findings"]
    assert shown["text"].tolist() == texts[shown["study_id"]].tolist()
    retriever.index(study_tables["validate"])  # goes on so
    assert retriever.search(film, k=24).table["text"].notna().all()
    silent = Retriever.from_run(calibrated_run)
    silent.index(study_tables["test"])
    assert "text" not in silent.search(film).table
    with pytest.raises(GalleryError, match="^this index was begun without report text, and what is in it st"):
        silent.index(study_tables["validate"], with_text=True)
    assert len(silent.gallery) == 12


def test_embeddings_hold_no_text(retriever, calibrated_run):
    """And asking for it changes nothing."""
    stored = Embeddings.load(calibrated_run / "embeddings-calibrate.safetensors")
    for studies in (stored, drawn_studies(3, dim=8)):
        with pytest.raises(GalleryError, match="^embeddings hold no report text: give a study table or Stud"):
            retriever.index(studies, with_text=True)
    assert retriever.index(stored) == 12
    assert not retriever.gallery.with_text


def test_studies_that_are_added_meanwhile_do_not_change_an_answer(
    retriever, indexed, study_tables, film, monkeypatch
):
    """By another thread, while it is put together."""
    retriever.index(study_tables["test"])

    def meanwhile(*arguments, **settings):
        found = scored(*arguments, **settings)
        retriever.gallery.append(drawn_studies(["a", "b"], dim=8))
        return found

    monkeypatch.setattr(module, "scored", meanwhile)
    answers, expected = retriever.search(film, k=4), indexed.search(film, k=4)
    assert answers.studies == 12
    pd.testing.assert_frame_equal(answers.table, expected.table)
    assert len(retriever.gallery) == 14


def test_the_public_names():
    assert medprobclip.Retriever is Retriever
    assert medprobclip.retriever.Studies is Studies
