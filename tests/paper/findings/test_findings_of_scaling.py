"""The sentence about time and memory: opposite numbers, opposite words."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.findings.headlines import headline
from medprobclip.paper.findings.scaling import growth_of


def costs(exponent: float, held: float = 0.0, broadcast: float = 40.0, memory: bool = True) -> pd.DataFrame:
    """Search costs ~ galleryᵖ in seconds and MB; the broadcast so many times the tiles, up to 100 reports."""
    rows = []
    for gallery in (10, 100, 1000):
        base = {"gallery": gallery, "queries": 16, "dim": 8, "compiled": False}
        growth = {"seconds": 1.0 * gallery**exponent, "memory_mb": 200.0 * gallery**held}
        rows += [base | {"method": "search"} | growth, base | {"method": "tiles"} | growth]
        if gallery <= 100:
            rows.append(base | {"method": "broadcast"} | {name: broadcast * v for name, v in growth.items()})
    table = pd.DataFrame(rows)
    return table if memory else table.assign(memory_mb=np.nan)


@pytest.mark.parametrize(
    ("exponent", "said"),
    [
        (1.0, "grows in step with the gallery"),
        (2.0, "grows faster than the gallery"),
        (0.5, "grows more slowly than the gallery"),
        (0.0, "does not grow"),
        (-0.5, "does not grow"),
    ],
)
def test_growth_is_told_of_time_and_of_memory(exponent, said):
    assert f"the time of the exact search {said} (" in headline("scaling", costs(exponent))
    assert f"the memory that it holds {said} (" in headline("scaling", costs(1.0, exponent))


@pytest.mark.parametrize("exponent", [0.3, 1.0, 2.0])
def test_the_exponent_is_that_of_the_last_step(exponent):
    table = costs(exponent)
    table.loc[table["gallery"] == 10, "seconds"] = 99.0  # compiling
    assert growth_of(table, "search", "seconds") == pytest.approx(exponent)
    assert np.isnan(growth_of(table[table["gallery"] == 10], "search", "seconds"))


@pytest.mark.parametrize(("ratio", "said"), [(40.0, "40 times"), (1.5, "1.5 times"), (0.5, "only 50 % of")])
def test_the_broadcast_is_told_where_it_was_measured(ratio, said):
    told = headline("scaling", costs(1.0, broadcast=ratio))
    assert told.endswith(
        f"With 100 reports the published broadcast takes {said} the time of the tiles and {said} their "
        "memory."
    )
    table = costs(1.0)
    assert "broadcast" not in headline("scaling", table[table["method"] != "broadcast"])


def test_what_is_too_small_is_not_judged():
    table = costs(2.0, 2.0)
    said = headline(
        "scaling", table.assign(seconds=1e-9 * table["seconds"], memory_mb=1e-9 * table["memory_mb"])
    )
    assert said.count("is too small to tell how it grows") == 2


def test_memory_that_is_not_known_is_not_told():
    assert "memory" not in headline("scaling", costs(1.0, memory=False))
