"""A model at a desk: what is shown of its answers is what the retriever says, and what is true of them."""

import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA

from medprobclip.data.studies import read_studies
from medprobclip.gaussian import Gaussian
from medprobclip.retriever.doubt import Doubt
from medprobclip.retriever.promises import FILM, PHRASE, REPORT, Kind
from medprobclip.retriever.retriever import Retriever
from medprobclip.retriever.settings import AnswerConfig
from medprobclip.workbench.lessons import cards, deciding, edited_patient, faults, neighbours
from medprobclip.workbench.lessons.desk import Desk, Reply


@pytest.fixture(scope="module")
def desk(calibrated_run, study_tables):
    retriever = Retriever.from_run(calibrated_run)
    retriever.index(study_tables["test"], with_text=True)
    studies = read_studies(study_tables["test"])
    return Desk(retriever, studies.assign(codes=[(f"code {i // 3}",) for i in range(len(studies))]))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_a_reply_is_what_the_retriever_says(desk):
    reply, study = desk.ask_study("test-3"), desk.studies.loc["test-3"]
    asked = desk.retriever.search(study["image_paths"][0])
    assert reply.answers.table["study_id"].tolist() == asked.table["study_id"].tolist()
    np.testing.assert_allclose(reply.scores[reply.order[:10]], asked.table["score"], rtol=1e-5)
    assert reply.entropy == pytest.approx(stats.entropy(np.exp(reply.scores - reply.scores.max())), rel=1e-5)
    best = desk.row(asked.table["study_id"][0])
    ties = int((reply.scores == reply.scores[best]).sum())
    assert reply.rank(best) == ties  # equal ones come first
    assert desk.ask_study("test-3") is reply  # asked once


def test_relations_of_studies(desk):
    rows = {name: desk.row(f"test-{i}") for name, i in {"own": 0, "twin": 1, "code": 2, "other": 3}.items()}
    said = [desk.relation(row, rows["own"]) for row in rows.values()]
    assert said == ["own", "worded alike", "coded alike", ""]
    assert desk.relation(rows["own"], None) == ""


def test_words_that_differ_are_marked():
    own = cards.words_of("No effusion. XXXX 12 Heart normal.")
    assert own == {"no", "effusion", "heart", "normal"}
    text = "Heart <large>; effusion, XXXX."
    assert cards.marked(text, own, False) == "Heart &lt;<mark>large</mark>&gt;; effusion, XXXX."
    assert cards.marked(text, own, True).count("<mark>") == 2


def test_a_card_tells_answers_promise_and_verdict(desk):
    page = cards.card_of_study(desk, "test-0")
    reply = desk.ask_study("test-0")
    assert len(re.findall("<tr", page.split("<thead>")[1])) == 1 + len(reply.answers.table)
    assert cards.verdict(reply).split(":")[0] in page
    assert "The set holds" in page or "too few for a set" in page
    place = reply.rank(desk.row("test-0"))
    assert f"stands at rank {place} of 12; 2 others are coded alike, the best at rank " in page
    assert page.count("own report</b>") == (place <= 10)
    assert 'alt="the film that asks"' in page


@pytest.fixture(scope="module")
def silent(calibrated_run, study_tables):
    """As `desk`, but without text and coding."""
    retriever = Retriever.from_run(calibrated_run)
    retriever.index(study_tables["test"])
    return Desk.of(retriever, study_tables["test"])


def test_pages_without_text_have_what_may_be_said(desk, silent):
    """Counts of words in the place of words."""
    pages = [cards.card_of_study(silent, "test-0"), cards.card_of_file(silent, cards.photograph())]
    pages.append(cards.card_of_words(silent, "opacity in the apex"))
    for page in pages:
        assert "<mark>" not in page
        assert "pacity in the left" not in page
        assert "pacity in the right" not in page
        assert "report (text withheld)" in page
    assert "[report text withheld] (5 words)" in pages[0]
    assert f"stands at rank {silent.ask_study('test-0').rank(0)} of 12.<" in pages[0]
    told = dict(re.findall(r">(test-\d+)</td>.*?(\d+ words[^<]*)</td>", pages[2]))
    texts = desk.studies["findings"]
    assert len(told) == 10
    for study, said in told.items():
        words = texts[study].rstrip(".").lower().split()
        hits = sum(word in {"opacity", "in", "the", "apex"} for word in words)
        assert said == f"{len(words)} words, {hits} asked for"


def test_codes_stand_where_text_is_withheld(silent):
    coded = Desk(silent.retriever, silent.studies.reset_index().assign(codes=[("Edema", "Mass/<b>")] * 12))
    assert "Edema, Mass/&lt;b&gt;; 5 words, 0 not in the film's own" in cards.card_of_study(coded, "test-0")
    assert list(coded.choices())[0] == "test-0: Edema, Mass/<b>"
    assert list(silent.choices(6)) == [f"test-{i}: not coded" for i in range(0, 12, 2)]


def test_a_share_of_the_studies(desk):
    assert desk.every(5) == ["test-0", "test-5", "test-10"]
    assert desk.every(2, most=4) == ["test-0", "test-3", "test-6", "test-9"]


def test_a_file_and_words_ask_too(desk):
    assert "Asked by the file grace_hopper.jpg" in cards.card_of_file(desk, cards.photograph())
    page = cards.card_of_words(desk, "large <opacity>")
    assert "large &lt;opacity&gt;" in page
    assert "<mark>large</mark>" in page
    assert page.count('alt="film of test-') == 10


def test_the_plane_is_that_of_the_principal_components():
    means = np.random.default_rng(0).normal(size=(7, 5)) * [5, 1, 3, 0.5, 0.1]
    oracle = PCA(2).fit(means)
    axes = neighbours.principal_plane(means)
    np.testing.assert_allclose(np.abs((axes * oracle.components_.T).sum(0)), 1)
    assert neighbours.kept_share(means, axes) == pytest.approx(oracle.explained_variance_ratio_.sum())
    with pytest.raises(ValueError, match="three means"):
        neighbours.principal_plane(means[:2])


def test_shadows_are_those_of_draws():
    torch.manual_seed(0)
    one = Gaussian(torch.randn(1, 4), torch.tensor([[0.0, 1.0, -1.0, 0.5]]))
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 2)))[0]
    (mean,), (covariance,) = neighbours.projected(one, axes)
    draws = one.sample(200_000)[:, 0].numpy() @ axes
    np.testing.assert_allclose(mean, draws.mean(0), atol=0.02)
    np.testing.assert_allclose(covariance, np.cov(draws.T), atol=0.03)
    patch = neighbours.ellipse(plt.subplots()[1], mean, covariance).patches[0]
    half = patch.get_patch_transform().transform([[1, 0], [0, 1]]) - mean  # ends of the half axes
    np.testing.assert_allclose(half.T @ half, covariance, atol=1e-9)


def test_labels_are_pushed_apart():
    placed = neighbours.apart(np.zeros((4, 2)), 1.0)
    gaps = np.linalg.norm(placed[:, None] - placed[None], axis=-1) + 9 * np.eye(4)
    assert gaps.min() > 0.9
    far = np.array([[0.0, 0.0], [9.0, 0.0]])
    np.testing.assert_allclose(neighbours.apart(far, 1.0), far, atol=0.01)


def test_the_map_shows_the_own_report_and_warns(desk):
    figure = neighbours.neighbourhood(desk, "test-4", 5)
    reply = desk.ask_study("test-4")
    labels = {text.get_text() for text in figure.axes[0].texts}
    assert f"{reply.rank(desk.row('test-4'))}" in labels
    assert "of the squared distances" in figure.axes[0].get_title(loc="left")
    assert "not overlap in 8 dimensions" in figure.texts[0].get_text()


def test_the_map_has_no_entry_for_a_coding_that_is_not_there(desk, silent):
    told = []
    for of in (desk, silent):
        legend = neighbours.neighbourhood(of, "test-4", 5).axes[0].get_legend()
        told.append([text.get_text() for text in legend.get_texts()])
    assert told[0] == ["the film", "own report, at its rank", "coded alike", "another report"]
    assert told[1] == [name for name in told[0] if name != "coded alike"]


@pytest.mark.parametrize(
    ("far", "said"),
    [([1.0, 2.0, 3.0], "ρ = 1.00"), ([3.0, 2.0, 1.0], "ρ = -1.00"), ([1.0, 2.0], "as the best")],
)
def test_the_warning_is_computed(far, said):
    scores = -np.arange(len(far), dtype=float)
    told = neighbours.warning(np.array(far), scores, 8)
    assert said in told
    assert ("the same report as" in told) == (far[0] == 1.0)


def test_a_spoilt_film_is_followed_by_severity(desk):
    path = faults.path_of_fault(desk, "test-3", "noise")
    assert path["severity"].tolist() == [*range(6)]
    assert path["variance"][0] == pytest.approx(desk.ask_study("test-3").variance, rel=1e-5)
    assert path["rank"].between(1, 12).all()
    figure = faults.spoilt(desk, "test-3", "noise", 4)
    assert len(figure.axes) == 6
    assert figure.axes[1].get_lines()[1].get_xdata()[0] == 4
    said = faults.said_of_faults(desk, "test-3")
    assert "under 11 faults at severity 5" in said
    ends = [faults.path_of_fault(desk, "test-3", fault)["set_size"] for fault in faults.FAULTS.values()]
    assert f"its set grows under {sum(sizes[5] > sizes[0] for sizes in ends)}." in said


def fake(gain, named, variances):
    replies = tuple(SimpleNamespace(variance=v) for v in variances)
    return SimpleNamespace(gain=np.array(gain), named=np.array(named), replies=replies)


def test_a_contrast_has_the_interval_of_student():
    desk = SimpleNamespace(once=lambda key, make: pairs[key[1]])
    pairs = {
        "a": fake([3.0, 1.0, 0.0], [True, False, False], (10.0, 9.0)),
        "b": fake([4.0, 1.0, 1.0], [True, False, False], (10.0, 12.0)),
    }
    table = edited_patient.contrast_table(desk, ["a", "b"], ["emphysema"]).set_index("what")
    for what, values in {"gain": [2.5, 3.0], "variance": [-1.0, 2.0]}.items():
        bounds = stats.t.interval(0.95, 1, np.mean(values), stats.sem(values))
        np.testing.assert_allclose(table.loc[what, ["low", "high"]].astype(float), bounds)
        assert table.loc[what, "value"] == np.mean(values)
    assert edited_patient.contrast_table(desk, ["a"], ["emphysema"])["low"].isna().all()


def decided(answered: float, others: float, count: int) -> pd.DataFrame:
    shares = {deciding.ANSWERED: 0.5, deciding.STRANGE: 0.1, deciding.AMBIGUOUS: 0.4}
    missed, counts = (answered, others, others), (count, 10, count)
    rows = [("as they are", *row) for row in zip(shares, shares.values(), missed, counts, strict=True)]
    return pd.DataFrame(rows, columns=["films", "decision", "share", "missed", "count"])


@pytest.mark.parametrize(
    ("answered", "others", "count", "said"),
    [
        (0.2, 0.9, 100, "miss their own report less often than the others: 20% of them against 90%."),
        (0.9, 0.2, 100, "miss their own report more often than"),
        (0.5, 0.6, 10, "are not shown to miss their own report more or less often than"),
    ],
)
def test_what_is_said_of_decisions(answered, others, count, said):
    sentence = deciding.said_of_decisions(decided(answered, others, count))
    assert sentence.startswith("Films as they are: 50% answered, 10% strange, 40% ambiguous.")
    assert said in sentence


@pytest.mark.parametrize("kind", [FILM, PHRASE, REPORT])
def test_a_decision_follows_the_reason(kind):
    """As the retriever words it: strange goes first."""
    usual = torch.linspace(0, 1, 400), torch.where(torch.arange(400) < 120, 1, 100)  # the sure are right
    said = []
    for p, entropy in ((0.01, 1.0), (0.5, 1.0), (0.5, 0.0)):
        doubt = Doubt(Kind(kind, 1), 400, 10, 0.0, p).among(entropy, *usual)
        reason = doubt.reason(AnswerConfig())
        answers = SimpleNamespace(abstain=bool(reason), reason=reason)
        said.append(Reply(None, answers, None).decision)
    assert said == [deciding.STRANGE, deciding.AMBIGUOUS, deciding.ANSWERED]


def test_films_are_decided_on(desk):
    table = deciding.decided_table(desk, desk.studies.index)
    assert table.groupby("films")["share"].sum().tolist() == pytest.approx([1, 1, 1])
    assert table.groupby("films")["count"].sum().tolist() == [12, 12, 12]
    for name, of in table.groupby("films"):
        films = [np.ascontiguousarray(deciding.TURNS[name](desk.film(s))) for s in desk.studies.index]
        found = [desk.retriever.search(film).table["study_id"].tolist() for film in films]
        missed = sum(study not in ids for study, ids in zip(desk.studies.index, found, strict=True))
        assert (of["missed"] * of["count"]).sum() == pytest.approx(missed)
    each = deciding.one_of_each(desk, desk.studies.index)
    kinds = [desk.ask_study(study).decision for study in each]
    assert len(kinds) == len(set(kinds)) > 0
    words = deciding.words_table(desk, ["opacity", "fxk hjw"])
    assert words.index.tolist() == ["opacity", "fxk hjw"]
