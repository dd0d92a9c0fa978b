"""What notebook 07 shows beside its figure: sizes by hand, ranges, errors, ties, and words for each."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from medprobclip.data.radiographs import read_image
from medprobclip.data.studies import read_studies, write_studies
from medprobclip.gaussian import Gaussian
from medprobclip.search import Hits, top_k
from medprobclip.similarity import expected_likelihood
from medprobclip.workbench.lessons import search_costs


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_sizes_are_bytes_by_hand():
    table = search_costs.sizes_in_memory(n=10, dim=100)
    row = table.loc["OpenI"]
    assert row["M"] == 3400
    gigabytes = [2 * 3400 * 100 * 4e-9, 10 * 3400 * 4e-9, 10 * 3400 * 100 * 4e-9]
    assert row.tolist()[1:] == pytest.approx(gigabytes)


def test_ranges_are_powers_and_the_longest_that_fits_is_named():
    table = search_costs.product_ranges()
    least, most = table.loc["product of 1"]
    assert table.loc["product of 64"].tolist() == pytest.approx([least**64, most**64])
    limits = np.finfo(np.float32)
    assert table.loc["float32 itself"].tolist() == [limits.tiny, limits.max]
    fits = [
        int(name.split()[-1]) for name in table.index[:-1]
        if limits.tiny <= table.loc[name, "smallest"] and table.loc[name, "largest"] <= limits.max
    ]  # fmt: skip
    assert search_costs.said_of_ranges(table).endswith(f"is the product of {max(fits)}.")
    assert max(fits) < 64
    table.loc["float32 itself"] = [0.99, 1.01]
    assert search_costs.said_of_ranges(table) == "None of them fits."


def test_both_ways_are_one_score(make_gaussian):
    x, y = (make_gaussian(n, 8, seed=n).to(torch.float32) for n in (5, 7))
    table = search_costs.costs_of_a_score(x, y)
    assert (table[["error", "error of the gradient"]] < 1e-5).all(axis=None)
    assert (table[["time, s", "with gradient, s"]] > 0).all(axis=None)


@pytest.mark.parametrize(
    ("error", "own", "said"),
    [
        (4e-6, 2.0, "both round the same score. With a gradient they hold 2 MB, less than the broadcast's"),
        (4e-6, 2.0, "The error of the tiles is 2.0 times, and that of their gradient 1.0 times that of the"),
        (1e-3, 2.0, "are not the same score. "),
        (1e-7, 9.0, "they hold 9 MB, no less than the broadcast's 5 MB."),
        (1e-7, np.nan, "The memory is not known on this system."),
    ],
)
def test_costs_in_words(error, own, said):
    rows = {
        "error": [2e-6, error], "error of the gradient": [2e-6, error / 2], "with gradient, MB": [5.0, own],
    }  # fmt: skip
    assert said in search_costs.said_of_costs(pd.DataFrame(rows, index=["the broadcast", "tiles"]))


def twice(make_gaussian) -> tuple[Gaussian, Gaussian]:
    """Queries, and a gallery in which the first report stands twice."""
    gallery = make_gaussian(6, 4).to(torch.float32)
    gallery = Gaussian(gallery.mean[[0, 1, 2, 0]], gallery.log_var[[0, 1, 2, 0]])
    return gallery[:3], gallery


def test_a_search_is_judged_by_sorting(make_gaussian):
    queries, gallery = twice(make_gaussian)
    scores, hits = expected_likelihood(queries, gallery), top_k(queries, gallery, 4)
    said = search_costs.said_of_search(hits, scores)
    assert said.startswith("3 queries, search against sorting the whole matrix: ids are the same and scores ")
    assert said.endswith("bit for bit. 3 queries have equal scores among their 4 best.")
    turned = Hits(hits.scores, hits.ids.flip(1))
    assert "ids are not the same and scores are the same" in search_costs.said_of_search(turned, scores)
    assert search_costs.ties(Hits(torch.tensor([[3.0, 2.0], [1.0, 1.0]]), hits.ids)).tolist() == [False, True]


def test_answers_are_read_or_counted(study_tables):
    """The first two studies are worded alike: "Opacity in the left base."."""
    names = [f"test-{i}" for i in range(4)]
    same = np.eye(4, dtype=bool)
    same[0, 1] = same[1, 0] = True
    embeddings = SimpleNamespace(study_ids=names, matches=lambda: same)
    hits = Hits(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[1, 3, 0]]))
    csv = study_tables["test"]
    table = search_costs.answers(csv, embeddings, hits, 0)
    assert table["right"].tolist() == ["yes", "no", "yes"]
    assert table["its first sentence"][1] == "Opacity in the left base."
    table = search_costs.answers(csv, embeddings, hits, 0, shows_text=False)
    assert list(table) == ["score", "id", "right", "its words"]
    assert table["its words"].tolist() == [5, 8, 5]
    assert search_costs.asked(csv, embeddings, 2).axes[0].get_title(loc="left") == "query 2"


def test_the_film_that_asked_is_the_one_that_stands_for_the_study(study_tables, tmp_path):
    """Here its lateral comes first."""
    study = read_studies(study_tables["test"]).iloc[[3]]
    pa, lateral = study["image_paths"].item()
    turned = study.assign(image_paths=[(lateral, pa)], view_names=[("LATERAL", "PA")])
    write_studies(turned, tmp_path / "t.csv")
    figure = search_costs.asked(tmp_path / "t.csv", SimpleNamespace(study_ids=["test-3"]), 0)
    assert np.array_equal(figure.axes[0].images[0].get_array(), read_image(pa))
