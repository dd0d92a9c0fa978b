"""The surest and the least sure: order, double wordings, quotes; influences are those of the chosen two."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from test_scored_runs import made_result, made_truth
from tiny import RESNET, build

from medprobclip.data.privacy import WITHHELD
from medprobclip.data.reports import sentences
from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.evaluation.influence import patch_influence, word_influence
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables import cards
from medprobclip.paper.tables.cards import PATCH, SENTENCE, STRIDE, extremes, influence_table
from medprobclip.paper.tables.scored_runs import Result

FINDINGS = "No effusion. There is a nodule in the left apex. The heart is large."


@pytest.fixture(scope="module")
def run() -> Result:
    """Forty studies; studies 0 and 5 are worded alike, every fourth is normal."""
    truth = made_truth(40)
    codes = [("normal",) if i % 4 == 0 else ("Spine/x", "Nodule/left", f"Code {i}") for i in range(40)]
    findings = [f"{FINDINGS} {'word ' * (i % 3)}".strip() for i in range(40)]
    truth = replace(truth, studies=truth.studies.assign(codes=codes, findings=findings))
    run = replace(made_result(truth, 1.5, 0), truth=truth)
    log_var = run.embeddings.report.log_var
    log_var[[0, 5]] = log_var[log_var.exp().sum(1).argmax()] + 0.1  # the least sure report, twice
    return run


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)


def rows_of(run: Result, table: pd.DataFrame) -> list[int]:
    ids = run.truth.studies["study_id"].tolist()
    return [ids.index(study) for study in table["study_id"]]


def test_cards_are_the_ends_of_the_order(run, images):
    table, pictures = extremes(run, images, 3, show_text=True)
    assert table["side"].tolist() == ["image"] * 6 + ["report"] * 6
    assert table["end"].tolist() == (["surest"] * 3 + ["least sure"] * 3) * 2
    assert table["place"].tolist() == [1, 2, 3, 3, 2, 1] * 2
    variance = run.total_variance["i2t"].tolist()
    ranked = sorted(range(40), key=variance.__getitem__)
    assert rows_of(run, table[:6]) == [*ranked[:3], *ranked[-3:]]
    variance = run.total_variance["t2i"].tolist()
    ranked = sorted((i for i in range(40) if i != 5), key=variance.__getitem__)
    assert rows_of(run, table[6:]) == [*ranked[:3], *ranked[-3:]]
    assert ranked[-1] == 0
    np.testing.assert_array_equal(pictures, images[rows_of(run, table[:6])])


def test_a_card_tells_its_study(run, images):
    table, _ = extremes(run, images, 6, show_text=True)
    codes = run.truth.studies["codes"]
    for place, row in zip(rows_of(run, table), table.to_dict("records"), strict=True):
        direction = "i2t" if row["side"] == "image" else "t2i"
        assert row["total_variance"] == run.total_variance[direction][place]
        assert row["sharing"] == (10 if place % 4 == 0 else 1)
        assert row["codes"] == "; ".join(codes[place])
        assert row["words"] == 14 + place % 3
        quote = "No effusion." if place % 4 == 0 else "There is a nodule in the left apex."
        assert row["findings"] == quote
    assert set(table["sharing"]) == {1, 10}


def test_a_quote_is_one_short_sentence(run, images):
    """OpenI's reports must not be redistributed."""
    long = "A nodule " + "that is described at length " * 20 + ". Then more."
    studies = run.truth.studies.assign(findings=long)
    table, _ = extremes(replace(run, truth=replace(run.truth, studies=studies)), images, 4, True)
    for quote in table["findings"]:
        assert len(quote) <= SENTENCE
        assert quote.endswith(" …")
        assert long.startswith(quote.removesuffix(" …"))


def few(run: Result, **columns) -> Result:
    """The first seven studies, of which two are worded alike, with other columns."""
    truth = run.truth
    truth = replace(truth, studies=truth.studies[:7].assign(**columns), matches=truth.matches[:7, :7])
    own = run.embeddings
    parts = [Gaussian(part.mean[:7], part.log_var[:7]) for part in (own.image, own.report)]
    embeddings = replace(own, study_ids=own.study_ids[:7], image=parts[0], report=parts[1],
                         text_ids=own.text_ids[:7].clone())  # fmt: skip
    return replace(run, embeddings=embeddings, scores=run.scores[:7, :7], truth=truth)


def test_of_few_studies_there_are_fewer_cards(run, images):
    """Nobody is at both ends; one study alone has no other end."""
    table, pictures = extremes(few(run), images[:7], 4)
    assert len(table) == 12
    assert table.groupby("side")["study_id"].nunique().tolist() == [6, 6]
    assert len(pictures) == 6
    alike = few(run)
    alike.embeddings.text_ids[:] = 0
    with pytest.raises(ValueError, match="among 1 distinct reports"):
        extremes(alike, images[:7])


def test_sentences_of_ones_own_reports_are_withheld(run, images):
    table, _ = extremes(run, images, 3)
    assert set(table["findings"]) == {WITHHELD}
    assert set(table["words"]) <= {14, 15, 16}
    assert (table["codes"] != "").all()


def test_what_nobody_coded_has_no_codes(run, images, model, tokenizer):
    uncoded = few(run, codes=[()] * 7)
    table, _ = extremes(uncoded, images[:7], 2, show_text=True)
    assert not {"codes", "sharing"} & set(table)
    assert set(table["findings"]) == {"No effusion."}
    table, pictures = influence_table(uncoded, model, tokenizer, images[:7])
    assert "codes" not in table
    order = uncoded.total_variance["i2t"].argsort()
    np.testing.assert_array_equal(pictures, images[order[[0, -1]]])


def test_none_or_other_images_are_refused(run, images):
    with pytest.raises(ValueError, match="no 0 surest"):
        extremes(run, images, 0)
    with pytest.raises(ValueError, match="39 images of 40"):
        extremes(run, images[1:])


@pytest.fixture(scope="module")
def model():
    return build(RESNET)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([FINDINGS], 50, 32)


@pytest.fixture(scope="module")
def influences(run, model, tokenizer, images):
    return influence_table(run, model, tokenizer, images, show_text=True)


def test_influences_are_of_the_surest_and_the_least_sure_with_a_finding(run, images, influences):
    table, pictures = influences
    variance = run.total_variance["i2t"]
    found = sorted((i for i in range(40) if i % 4), key=variance.tolist().__getitem__)
    for end, place, picture in zip(("surest", "least sure"), (found[0], found[-1]), pictures, strict=True):
        rows = table[table["end"] == end]
        assert set(rows["study_id"]) == {f"s{place}"}
        assert set(rows["codes"]) == {"; ".join(run.truth.studies["codes"][place])}
        assert set(rows.loc[rows["side"] == "image", "total_variance"]) == {float(variance[place])}
        assert set(rows.loc[rows["side"] == "report", "total_variance"]) == {
            float(run.total_variance["t2i"][place])
        }
        np.testing.assert_array_equal(picture, images[place])


def test_patches_stand_at_their_centres(model, influences):
    table, pictures = influences
    for end, picture in zip(("surest", "least sure"), pictures, strict=True):
        rows = table[(table["end"] == end) & (table["side"] == "image")]
        expected = patch_influence(model, picture, PATCH, STRIDE)
        assert len(rows) == expected.size
        for row in rows.to_dict("records"):
            i, j = (round((row[name] - (PATCH - 1) / 2) / STRIDE) for name in ("y", "x"))
            assert row["change"] == expected[i, j]


def test_words_are_those_of_the_sentence_that_changes_most(model, tokenizer, influences, run):
    table, _ = influences
    rows = table[(table["end"] == "surest") & (table["side"] == "report")]
    text = run.truth.studies.set_index("study_id").loc[rows["study_id"].iloc[0], "findings"]
    words, changes = word_influence(model, tokenizer, text)
    sums, start = {}, 0
    for sentence in sentences(text):
        end = start + len(sentence.split())
        sums[tuple(words[start:end])] = changes[start:end]
        start = end
    most = max(sums, key=lambda words: np.abs(sums[words]).sum())
    assert tuple(rows["word"]) == most
    np.testing.assert_array_equal(rows["change"], sums[most])
    assert len(rows) < len(words)


def test_the_sentence_is_found_by_the_sum_of_its_changes(monkeypatch):
    """Numbers that were dropped from a list are no words."""
    heard = []

    def toy(model, tokenizer, text):
        heard.append(text)
        return text.split(), np.array([0.5, 0.1, -0.4, -0.4, 0.2])

    monkeypatch.setattr(cards, "word_influence", toy)
    words, changes = cards._one_sentence(None, None, sentences("1. Big heart. 2. No large effusion."))
    assert heard == ["Big heart. No large effusion."]
    assert words == ["No", "large", "effusion."]
    assert changes.tolist() == [-0.4, -0.4, 0.2]


def test_without_two_findings_any_two_serve(run, model, tokenizer, images):
    codes = [("normal",)] * 39 + [("Nodule/left",)]
    healthy = replace(run, truth=replace(run.truth, studies=run.truth.studies.assign(codes=codes)))
    table, _ = influence_table(healthy, model, tokenizer, images)
    order = run.total_variance["i2t"].argsort()
    assert table["study_id"].unique().tolist() == [f"s{order[0]}", f"s{order[-1]}"]
    silent = run.truth.studies.assign(findings=["Heart."] + ["."] * 39)
    with pytest.raises(ValueError, match="no two studies with a sentence"):
        influence_table(replace(run, truth=replace(run.truth, studies=silent)), model, tokenizer, images)


def test_words_of_ones_own_reports_are_numbered(run, model, tokenizer, images, influences):
    table, _ = influence_table(run, model, tokenizer, images)
    said, numbered = (
        t[t["side"] == "report"].groupby("end")["word"].agg(list) for t in (influences[0], table)
    )
    for end, words in said.items():
        assert numbered[end] == [f"word {i + 1}" for i in range(len(words))]
    pd.testing.assert_frame_equal(table.drop(columns="word"), influences[0].drop(columns="word"))


def test_a_study_without_a_sentence_is_passed_over(run, model, tokenizer, images):
    variance = torch.from_numpy(run.total_variance["i2t"])
    found = [i for i in variance.argsort().tolist() if i % 4]
    findings = run.truth.studies["findings"].copy()
    findings[found[0]] = "."
    truth = replace(run.truth, studies=run.truth.studies.assign(findings=findings))
    table, _ = influence_table(replace(run, truth=truth), model, tokenizer, images)
    assert table["study_id"].unique().tolist() == [f"s{found[1]}", f"s{found[-1]}"]
