"""What scoring costs: the plain implementations are right, and the measurement sees what is held."""

import json
import math
import sys
from dataclasses import replace

import pytest
import torch

from medprobclip.evaluation import scaling
from medprobclip.evaluation.scaling import (
    broadcast,
    chunked_broadcast,
    cosine_top_k,
    draw,
    measure,
    peak_memory,
    scaling_table,
)
from medprobclip.gaussian import Gaussian
from medprobclip.settings import ScalingConfig
from medprobclip.similarity import cosine
from medprobclip.training.profiles import PROFILES

SMALL = ScalingConfig(queries=4, dim=8, galleries=(5, 20), k=10)
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is known on Linux only")


@pytest.mark.parametrize("score", [broadcast, chunked_broadcast])
def test_plain_scores_are_the_closed_form(score, make_gaussian, monkeypatch):
    """∫ N(z; x) N(z; y) dz is the density of the difference of two independent Gaussians at 0."""
    monkeypatch.setattr(scaling, "TILE_ELEMENTS", 2 * 9 * 6)  # two rows at a time
    x, y = make_gaussian(7, 6), make_gaussian(9, 6, seed=1)
    spread = (x.var[:, None] + y.var).sqrt()
    expected = torch.distributions.Normal(y.mean, spread).log_prob(x.mean[:, None]).sum(-1)
    torch.testing.assert_close(score(x, y), expected + 3 * math.log(2 * math.pi))


@pytest.mark.parametrize("size", [5, 8, 21])
def test_cosine_top_k_is_sorting(size, make_gaussian, monkeypatch):
    monkeypatch.setattr(scaling, "BLOCK", 8)
    x, y = make_gaussian(6, 4), make_gaussian(size, 4, seed=1)
    scores, ids = cosine_top_k(x, y, 5)
    expected = cosine(x, y).sort(dim=1, descending=True)
    torch.testing.assert_close(scores, expected.values[:, :5])
    assert torch.equal(ids, expected.indices[:, :5])


@linux
@pytest.mark.parametrize("kept", [True, False])
def test_memory_is_what_a_call_holds(kept):
    """50 MB, whether they are returned or given back before the call ends; the warm-up does not hide them."""

    def call():
        held = torch.ones(50_000_000, dtype=torch.uint8)
        return held if kept else held[:1].clone()

    for _ in range(2):
        assert measure(call, repeats=1).memory_mb == pytest.approx(50, rel=0.2)
    assert measure(lambda: None).memory_mb < 5


@linux
@pytest.mark.parametrize("kept", [True, False])
def test_a_mapped_file_does_not_count(kept, tmp_path):
    """40 MB on disk, whether or not the mapping outlives the call."""
    draw(10_000, 500, seed=0).save(path := tmp_path / "gallery.safetensors")

    def call():
        gallery = Gaussian.load(path)
        totals = [gallery.mean.sum() + gallery.log_var.sum() for _ in range(20)]
        return (totals, gallery if kept else None)

    assert peak_memory(call) < 10


def test_memory_is_unknown_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(scaling, "forget_peak", dict)
    cost = measure(lambda: torch.ones(9))
    assert math.isnan(cost.memory_mb)
    assert cost.seconds > 0


def test_a_call_that_fails_is_not_measured():
    def call():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        peak_memory(call)


def test_table_has_every_method_and_size():
    table = scaling_table(SMALL)
    methods = {"broadcast", "tiles", "search", "cosine search"}
    assert set(zip(table["method"], table["gallery"], strict=True)) == {
        (method, size) for method in methods for size in SMALL.galleries
    }
    assert (table[["queries", "dim"]].to_numpy() == [4, 8]).all()
    assert (table["seconds"] > 0).all()
    assert not table["compiled"].any()


def test_table_says_what_was_compiled(monkeypatch):
    calls = {name: lambda *_: None for name in ("expected_likelihood", "top_k", "cosine_top_k", "broadcast")}
    for name, call in calls.items():
        monkeypatch.setattr(scaling, name, call)
    monkeypatch.setattr(scaling.kernels, "CONFIG", replace(scaling.kernels.CONFIG, compile_from=4 * 20 * 8))
    monkeypatch.setattr(scaling.COMPILER, "unavailable", False)
    compiled = scaling_table(SMALL).set_index(["method", "gallery"])["compiled"]
    assert set(compiled[compiled].index) == {("tiles", 20), ("search", 20)}


def test_table_leaves_out_a_broadcast_that_would_not_fit():
    """Four temporaries of 4 · 20 · 8 floats are 10 kB."""
    table = scaling_table(replace(SMALL, most_mb=0.01))
    assert table.loc[table["method"] == "broadcast", "gallery"].tolist() == [5]
    assert (table["method"] == "search").sum() == 2


def test_table_of_chosen_methods():
    assert set(scaling_table(SMALL, ["search"])["method"]) == {"search"}


@linux
def test_the_broadcast_holds_the_temporaries_it_is_said_to():
    x, y = draw(64, 512, 0), draw(512, 512, 1)
    temporary = 64 * 512 * 512 * 4e-6
    assert peak_memory(lambda: broadcast(x, y)) == pytest.approx(scaling.TEMPORARIES * temporary, rel=0.1)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_trained_run_is_not_known_by_what_is_measured_later(profile):
    settings = profile.settings()
    assert settings == replace(profile, scaling=SMALL).settings()
    assert settings == json.loads(json.dumps(settings))  # as `runs.claim` reads them back
    assert settings["training"]["epochs"] == profile.training.epochs
