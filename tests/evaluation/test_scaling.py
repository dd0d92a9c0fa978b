"""What scoring costs: plain implementations are right, the measurement adds up what system and clock tell."""

import itertools
import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from counting import most_held

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
from medprobclip.settings import ScalingConfig
from medprobclip.similarity import cosine
from medprobclip.training.profiles import PROFILES

SMALL = ScalingConfig(queries=4, dim=8, galleries=(5, 20), k=10)


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
    assert float(expected.values.diff(dim=1).abs().min()) > 1e-3  # rounding decides no place
    torch.testing.assert_close(scores, expected.values[:, :5])
    assert torch.equal(ids, expected.indices[:, :5])


class System:
    """Stands in for what the system tells of this process: memory by kind in MB, and its peak."""

    def __init__(self) -> None:
        self.kinds = {"VmHWM": 350.0, "VmRSS": 300.0, "RssAnon": 200.0, "RssFile": 100.0}
        self.looked = threading.Event()

    def take(self, kind: str, amount: float) -> None:
        self.kinds[kind] += amount
        self.kinds["VmRSS"] += amount
        self.kinds["VmHWM"] = max(self.kinds["VmHWM"], self.kinds["VmRSS"])

    def forget_peak(self) -> dict[str, float]:
        self.kinds["VmHWM"] = self.kinds["VmRSS"]
        return dict(self.kinds)

    def memory_now(self) -> dict[str, float]:
        told = dict(self.kinds)
        self.looked.set()
        return told

    def wait_until_looked_at(self) -> None:
        for _ in range(2):  # the first look may have begun before
            self.looked.clear()
            assert self.looked.wait(600)


@pytest.fixture
def system(monkeypatch):
    system = System()
    monkeypatch.setattr(scaling, "forget_peak", system.forget_peak)
    monkeypatch.setattr(scaling, "memory_now", system.memory_now)
    return system


@pytest.fixture
def clock(monkeypatch):
    """A clock that shows the times of the list, and then goes on by a second each time it is read."""
    times = []
    reads = itertools.count(1000)
    told = SimpleNamespace(perf_counter=lambda: times.pop(0) if times else next(reads))
    monkeypatch.setattr(scaling, "time", told)
    return times


@pytest.mark.parametrize("kept", [True, False])
def test_memory_is_what_a_call_holds(system, kept):
    """50 MB, whether they are returned or given back before the call ends, though more was held before."""

    def call():
        system.take("RssAnon", 50)
        if not kept:
            system.take("RssAnon", -50)

    for _ in range(2):
        assert peak_memory(call) == pytest.approx(50)
    assert peak_memory(lambda: None) == 0


@pytest.mark.parametrize("kept", [True, False])
def test_a_mapped_file_does_not_count(system, kept):
    """3 MB beside 40 MB of a file, whether or not the mapping outlives the call."""

    def call():
        system.take("RssFile", 40)
        system.take("RssAnon", 3)
        system.wait_until_looked_at()
        if not kept:
            system.take("RssFile", -40)

    assert peak_memory(call) == pytest.approx(3)


def test_memory_by_kind_is_read_in_mb(monkeypatch, tmp_path):
    """As Linux writes it, in units of 1024 bytes; a new peak is asked for by a 5."""
    (tmp_path / "clear_refs").touch()
    lines = ("Name: python", "VmPeak: 9 kB", "VmHWM:\t 5000 kB", "VmRSS:\t 4000 kB", "RssAnon:\t 3000 kB")
    (tmp_path / "status").write_text("\n".join([*lines, "RssFile:\t 1000 kB", "RssShmem: 7 kB", ""]))
    monkeypatch.setattr(scaling, "Path", lambda name: tmp_path / Path(name).name)
    expected = {"VmHWM": 5.12, "VmRSS": 4.096, "RssAnon": 3.072, "RssFile": 1.024}
    assert scaling.forget_peak() == pytest.approx(expected)
    assert (tmp_path / "clear_refs").read_text() == "5"


def test_the_fastest_call_counts_and_short_ones_are_repeated(system, clock):
    calls = []
    clock[:] = [0, 3, 10, 11, 20, 22]
    assert measure(lambda: calls.append(1)).seconds == 1
    assert len(calls) == 1 + 3 + 1  # one for compilers and caches, one for memory
    calls.clear()
    clock[:] = [0.001 * i for i in range(40)]
    assert measure(lambda: calls.append(1)).seconds == pytest.approx(0.001)
    assert len(calls) == 1 + 20 + 1


def test_memory_is_unknown_where_the_system_does_not_tell(monkeypatch, clock):
    monkeypatch.setattr(scaling, "forget_peak", dict)
    cost = measure(lambda: torch.ones(9))
    assert math.isnan(cost.memory_mb)
    assert cost.seconds == 1


def test_a_call_that_fails_is_not_measured():
    def call():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        peak_memory(call)


def test_table_has_every_method_and_size(clock):
    table = scaling_table(SMALL)
    methods = {"broadcast", "tiles", "search", "cosine search"}
    assert set(zip(table["method"], table["gallery"], strict=True)) == {
        (method, size) for method in methods for size in SMALL.galleries
    }
    assert (table[["queries", "dim"]].to_numpy() == [4, 8]).all()
    assert (table["seconds"] == 1).all()
    assert not table["compiled"].any()


def test_table_says_what_was_compiled(monkeypatch):
    calls = {name: lambda *_: None for name in ("expected_likelihood", "top_k", "cosine_top_k", "broadcast")}
    for name, call in calls.items():
        monkeypatch.setattr(scaling, name, call)
    config = replace(scaling.kernels.CONFIG, cpu_kernel_from=2**62, compile_from=4 * 20 * 8)
    monkeypatch.setattr(scaling.kernels, "CONFIG", config)
    monkeypatch.setattr(scaling.kernels.COMPILER, "unavailable", False)
    compiled = scaling_table(SMALL).set_index(["method", "gallery"])["compiled"]
    assert set(compiled[compiled].index) == {("tiles", 20), ("search", 20)}


def test_table_leaves_out_a_broadcast_that_would_not_fit():
    """Four temporaries of 4 · 20 · 8 floats are 10 kB."""
    table = scaling_table(replace(SMALL, most_mb=0.01))
    assert table.loc[table["method"] == "broadcast", "gallery"].tolist() == [5]
    assert (table["method"] == "search").sum() == 2


def test_table_of_chosen_methods():
    assert set(scaling_table(SMALL, ["search"])["method"]) == {"search"}


def test_the_broadcast_holds_the_temporaries_it_is_said_to():
    x, y = draw(64, 128, 0), draw(256, 128, 1)
    temporary = 64 * 256 * 128 * 4
    held = most_held(lambda: broadcast(x, y))
    assert held == pytest.approx(scaling.TEMPORARIES * temporary, rel=0.1)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_trained_run_is_not_known_by_what_is_measured_later(profile):
    settings = profile.settings()
    assert settings == replace(profile, scaling=SMALL).settings()
    assert settings == json.loads(json.dumps(settings))  # as `runs.claim` reads them back
    assert settings["training"]["epochs"] == profile.training.epochs
