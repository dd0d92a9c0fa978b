"""Figures of one model show the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import assert_readable, labels_of, legend_of, pixels_of_letters, points, titles

from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.objectives import term_weights
from medprobclip.paper.figures.model import (
    readability,
    scaling,
    trained_similarity,
    training_curves,
    uncertainty_and_sharing,
    untrained_similarity,
)
from medprobclip.settings import OBJECTIVES
from medprobclip.simulator.school import KINDS

pytestmark = pytest.mark.filterwarnings("error")


def test_untrained_similarity_shows_scores_images_and_headings():
    scores, images = (
        np.arange(9.0).reshape(3, 3),
        np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((8, 8)),
    )
    figure = untrained_similarity(scores, images, ["one", "two", "three"])
    *films, matrix, bar = figure.axes
    assert [int(film.images[0].get_array().max()) for film in films] == [0, 1, 2]
    np.testing.assert_array_equal(matrix.images[0].get_array(), scores)
    assert [label.get_text() for label in matrix.get_xticklabels()] == ["one", "two", "three"]
    assert len(matrix.patches) == 3  # the pairs
    assert "score" in bar.get_ylabel()
    assert_readable(figure)


def test_trained_similarity_shows_both_stages_with_the_best_report_marked():
    before, after = np.arange(9.0).reshape(3, 3), np.eye(3)
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((8, 8))
    figure = trained_similarity(before, after, images, ["one", "two", "three"])
    films, maps = figure.axes[:3], [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert [int(film.images[0].get_array().max()) for film in films] == [0, 1, 2]
    assert titles(maps) == ["Before training", "After training"]
    for ax, scores, best in zip(maps, (before, after), ([2, 2, 2], [0, 1, 2]), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), scores)
        (dots,) = [line for line in ax.get_lines() if line.get_marker() == "o"]
        assert dots.get_xdata().tolist() == best
        assert labels_of_columns(ax) == ["one", "two", "three"]
        assert len(ax.patches) == 3  # the pairs
    assert legend_of(figure) == ["the film's own report", "the film's best report"]
    assert_readable(figure)
    assert pixels_of_letters(figure) > 10.5


def labels_of_columns(ax: plt.Axes) -> list[str]:
    return [label.get_text() for label in ax.get_xticklabels()]


def test_terms_have_names_for_readers():
    history = pd.DataFrame({"epoch": [1, 2], "val_R@10_i2t": [1.0, 4], "val_R@10_t2i": [2.0, 3]})
    terms = pd.DataFrame({name: [2.0, 1.0] for name in term_weights(OBJECTIVES["medprobclip-inclusion"])})
    figure = training_curves(history, terms, 1.5)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(names) == terms.shape[1] == 6
    assert not any("_" in name for name in names)
    assert_readable(figure)
    assert pixels_of_letters(figure) > 10.5


def test_training_curves_show_every_term_and_both_directions():
    history = pd.DataFrame({"epoch": [1, 2, 3], "val_R@10_i2t": [1.0, 4, 9], "val_R@10_t2i": [2.0, 3, 8]})
    terms = {"loss": [3.0, 2, 1], "cross_modal": [2.0, 1.5, 0.5], "kl": [0.1, 0.2, 0.3]}
    left, right = training_curves(history, terms, chance=1.5).axes
    named = {"all together": terms["loss"]} | {name: terms[name] for name in ("cross_modal", "kl")}
    assert {line.get_label(): list(line.get_ydata()) for line in left.get_lines()} == named
    lines = {line.get_label(): list(line.get_ydata()) for line in right.get_lines()}
    assert lines == {DIRECTIONS["i2t"]: [1, 4, 9], DIRECTIONS["t2i"]: [2, 3, 8], "chance": [1.5, 1.5]}
    assert right.get_ylim()[0] == 0
    assert [text.get_text() for text in right.get_legend().get_texts()] == list(lines)


def control_rows() -> pd.DataFrame:
    """As `tables.ambiguity.control_table`; of the reports too few studies are left for one control."""
    rows = [
        {"side": side, "property": name, "n": 600 - 50 * i, "rho": rho, "rho_low": rho - 0.1,
         "rho_high": rho + 0.05}
        for side, first in (("image", 0.3), ("report", 0.6))
        for i, name in enumerate(("sharing", "sharing_abnormal", "rank", "rank_unambiguous"))
        for rho in [np.nan if (side, i) == ("report", 3) else first - 0.1 * i]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_uncertainty_shows_medians_with_quartiles_and_both_controls():
    table = pd.DataFrame({
        "group": ["1", "2 – 4"], "studies": [30, 12], "low": [1.0, 2], "median": [2.0, 3], "high": [5.0, 9],
    })  # fmt: skip
    sides = pd.concat([table.assign(side="image"), table.assign(side="report", median=[3.0, 4])])
    ranks = sides.assign(median=10 * sides["median"], low=10 * sides["low"], high=10 * sides["high"])
    figure = uncertainty_and_sharing(sides, ranks, control_rows())
    films, reports, rank, control = figure.axes
    for containers, part, scale in (
        (films.containers, ("image",), 1),
        (reports.containers, ("report",), 1),
        (rank.containers, ("image", "report"), 10),
    ):
        assert len(containers) == len(part)
        for container, side in zip(containers, part, strict=True):
            rows = sides[sides["side"] == side]
            medians = container.lines[0].get_ydata().astype(float) / scale
            np.testing.assert_allclose(medians, rows["median"])
            ends = [segment[:, 1].tolist() for segment in container.lines[2][0].get_segments()]
            np.testing.assert_allclose(ends, scale * rows[["low", "high"]])
    assert [label.get_text() for label in films.get_xticklabels()] == ["1\n(n = 30)", "2 – 4\n(n = 12)"]
    shown = control_rows().dropna()
    assert [point[0] for point in points(control)] == pytest.approx(
        shown.sort_values("side", kind="stable")["rho"].tolist()
    )
    ends = [c.lines[2][0].get_segments()[0][:, 0] for c in control.containers]
    np.testing.assert_allclose(ends, shown[["rho_low", "rho_high"]])
    assert [label.split("(")[1] for label in labels_of(control)] == [
        f"{n} studies)" for n in (600, 550, 500, 450)
    ]
    assert legend_of(figure) == ["radiographs", "reports"]
    assert_readable(figure)


def scaling_rows(memory: list[float]) -> pd.DataFrame:
    """Three sizes by broadcast (two of them), tiles, search and cosine search; seconds 1, 2, 3 … in order."""
    sizes = {"broadcast": (10, 40), **dict.fromkeys(("tiles", "search", "cosine search"), (10, 40, 160))}
    table = pd.DataFrame([(m, n) for m, of in sizes.items() for n in of], columns=["method", "gallery"])
    compiled = table["method"].isin(["tiles", "search"]) & (table["gallery"] == 160)
    return table.assign(
        queries=1000, dim=8, compiled=compiled, seconds=np.arange(1.0, 12), memory_mb=np.resize(memory, 11)
    )


def test_scaling_draws_the_table():
    table = scaling_rows([5.0, 0.0, float("nan"), 200.0])
    figure = scaling(table)
    figure.canvas.draw()
    for ax, column, floor in zip(figure.axes, ("seconds", "memory_mb"), (0, 1), strict=True):
        lines = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
        for line, (_, rows) in zip(lines, table.groupby("method", sort=False), strict=True):
            assert line.get_xdata().tolist() == rows["gallery"].tolist()
            np.testing.assert_array_equal(line.get_ydata(), rows[column].clip(lower=floor))
        filled = [line for line in ax.get_lines() if line.get_marker() == "o" and line.get_mfc() != "white"]
        assert [line.get_xdata().tolist() for line in filled if len(line.get_xdata())] == [[160], [160]]
        guide = next(line for line in ax.get_lines() if line.get_linestyle() == "--")
        assert len(set((guide.get_ydata() / guide.get_xdata()).round(9))) == 1
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert guide.get_ydata()[-1] == table.query("method == 'tiles'")["memory_mb"].iloc[-1]
    named = legend_of(figure)
    assert len(named) == len(set(named)) == 7
    assert "1,000 queries" in titles(figure.axes)[0]


def test_scaling_says_that_memory_is_not_known():
    figure = scaling(scaling_rows([float("nan")]))
    figure.canvas.draw()
    assert figure.axes[1].texts[0].get_text() == "not known on this system"


def test_readability_shows_every_kind_with_its_count_and_verdict():
    table = pd.DataFrame({
        "kind": ["effusion", "nodule", "scar"], "pa": [0.93, 0.71, np.nan], "lateral": [0.9, 0.55, np.nan],
        "both": [0.95, 0.7, np.nan], "low": [0.9, 0.6, np.nan], "high": [0.99, 0.8, np.nan],
        "positives": [40, 12, 1], "verdict": ["readable", "small", "subtle"],
    })  # fmt: skip
    figure = readability(table, 0.75)
    ax = figure.axes[0]
    assert labels_of(ax) == ["effusion", "nodule", "scar"]
    (counts,) = ax.child_axes
    assert labels_of(counts) == ["40", "12", "1"]
    drawn = [(c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in ax.containers]
    assert drawn[:2] == [(0.95, 0), (0.7, 1)]
    ends = [c.lines[2][0].get_segments()[0][:, 0].tolist() for c in ax.containers[:2]]
    np.testing.assert_allclose(ends, [[0.9, 0.99], [0.6, 0.8]])
    for marker, view, name in (("|", "pa", "PA"), ("x", "lateral", "lateral")):
        (line,) = [line for line in ax.get_lines() if line.get_label() == f"{name} film alone"]
        assert (line.get_marker(), line.get_linestyle()) == (marker, "None")
        np.testing.assert_array_equal(line.get_xdata(), table[view])
        assert line.get_ydata().tolist() == [0, 1, 2]
    assert {"readable", "hard: small", "limit, 0.75"} <= set(legend_of(figure))
    assert {"PA film alone", "lateral film alone"} <= set(legend_of(figure))
    assert len(legend_of(figure)) == len(set(legend_of(figure)))


def test_readability_can_be_read():
    """Every kind that is taught, with every verdict."""
    count = len(KINDS)
    both = np.linspace(0.99, 0.55, count)
    table = pd.DataFrame({
        "kind": KINDS, "pa": both - 0.03, "lateral": both - 0.1, "both": both, "low": both - 0.06,
        "high": np.minimum(both + 0.04, 1), "positives": np.arange(count) + 90,
        "verdict": np.resize(["readable", "small", "subtle", "wrong"], count),
    })  # fmt: skip
    figure = readability(table, 0.75)
    assert_readable(figure)
    assert labels_of(figure.axes[0]) == list(KINDS)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
