"""What Weights & Biases and MLflow receive, by accelerate's trackers, of stand-ins for their packages."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from accelerate import PartialState

from medprobclip.training import trackers
from medprobclip.training.processes import Team
from medprobclip.training.telling import Telling
from medprobclip.training.trackers import require_tracker

SETTINGS = {"training": {"epochs": 3, "seed": 42}, "encoders": {"vision": "tiny"}}
FLAT = {"training.epochs": 3, "training.seed": 42, "encoders.vision": "tiny"}


class Received:
    """What was sent, by either package's calls."""

    def __init__(self) -> None:
        self.started, self.settings, self.numbers, self.finished = [], [], [], 0
        self.broken = ""

    def start(self, **named):
        if self.broken == "start":
            raise RuntimeError("nobody is logged in")
        self.started.append(named)
        return SimpleNamespace(log=self.log, finish=self.finish, info=SimpleNamespace(run_id="given"))

    def configure(self, values, **_):
        self.settings.append(values)

    def log(self, values, step, **_):
        if self.broken == "log":
            raise RuntimeError("the server is gone")
        self.numbers.append((step, values))

    def finish(self):
        self.finished += 1

    def of(self, name: str) -> list[tuple[int, float]]:
        return [(step, values[name]) for step, values in self.numbers if name in values]


@pytest.fixture(params=["wandb", "mlflow"])
def sent(request, monkeypatch):
    """The numbers that the package of that name would have got."""
    PartialState()
    received, name = Received(), request.param
    module = ModuleType(name)
    if name == "wandb":
        module.init, module.config = received.start, SimpleNamespace(update=received.configure)
    else:
        limits = SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=100)
        module.utils = SimpleNamespace(validation=limits)
        module.search_experiments = lambda filter_string: []
        module.create_experiment = lambda **_: "1"
        module.start_run, module.log_params = received.start, received.configure
        module.log_metrics, module.end_run = received.log, received.finish
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(trackers.INSTALLED, name, lambda: True)
    received.name = name
    return received


def train(out, name, done=(0, 0), upto=60, more=0.0):
    """Two epochs of 30 steps."""
    with Telling(out, Team(), SETTINGS, name, 2, 30, 8, done) as told:
        for epoch in range(done[0], 2):
            with told.during(epoch):
                for step in range(
                    max(epoch * 30, done[0] * 30 + done[1]) + 1, min((epoch + 1) * 30, upto) + 1
                ):
                    told.step(step, {"loss": step + more, "rate/heads": 0.5})
            if upto >= (epoch + 1) * 30:
                row = {"epoch": epoch + 1, "loss": 1.0, "val_rsum": 100.0 + more, "val_R@10_i2t": 5.0}
                told.epoch((epoch + 1) * 30, row | {"seconds": 1.0})


def test_every_tenth_step_and_every_epoch_is_sent(sent, tmp_path):
    train(tmp_path / "my-run", sent.name)
    assert sent.of("train/loss") == [(step, float(step)) for step in range(10, 61, 10)]
    assert sent.of("rate/heads")[0] == (10, 0.5)
    assert sent.of("validation/rsum") == [(30, 100.0), (60, 100.0)]
    assert sent.of("validation/R_at_10_i2t") == [(30, 5.0), (60, 5.0)]  # MLflow refuses an @
    assert sent.settings == [FLAT]
    assert sent.finished == 1
    (started,) = sent.started
    assert started["name" if sent.name == "wandb" else "run_name"] == "my-run"
    if sent.name == "wandb":  # neither what is printed nor the command line, which name studies and tables
        assert started["settings"].items() >= {"console": "off", "x_disable_meta": True}.items()


@pytest.mark.parametrize("done", [(0, 20), (1, 0)])
def test_a_resumed_training_goes_on_in_the_same_run(sent, tmp_path, done):
    """What had been sent before a kill is not sent twice."""
    train(tmp_path, sent.name, upto=45)
    train(tmp_path, sent.name, done, more=0.5)
    assert sent.of("train/loss") == [(10, 10), (20, 20), (30, 30), (40, 40), (50, 50.5), (60, 60.5)]
    assert sent.of("validation/rsum") == [(30, 100.0), (60, 100.5)]
    first, second = sent.started
    known = json.loads((tmp_path / "tracker.json").read_text())[sent.name]
    if sent.name == "wandb":
        assert first["id"] == second["id"] == known
        assert second["resume"] == "allow"
    else:
        assert (first["run_id"], second["run_id"]) == (None, known) == (None, "given")
    assert sent.settings == [FLAT]


def test_a_tracker_that_comes_later_gets_the_rest(sent, tmp_path):
    train(tmp_path, "none", upto=45)
    train(tmp_path, sent.name, (1, 0))
    assert [step for step, _ in sent.of("train/loss")] == [40, 50, 60]


def test_a_tracker_that_fails_does_not_end_a_training(sent, tmp_path, capsys):
    sent.broken = "log"
    train(tmp_path, sent.name)
    said = capsys.readouterr().out.splitlines()
    line = f"{sent.name}: RuntimeError: the server is gone. Training goes on without it."
    assert said.count(line) == 1
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 62


def test_a_tracker_that_cannot_start_ends_it_before_it_begins(sent, tmp_path):
    sent.broken = "start"
    with pytest.raises(ValueError, match=f"^report_to {sent.name}: RuntimeError: nobody is logged in"):
        train(tmp_path, sent.name)
    assert not (tmp_path / "tracker.json").exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_not_there_is_named_with_its_remedy(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)  # also where it is installed
    monkeypatch.setitem(trackers.INSTALLED, name, lambda: False)
    for refused in (lambda: require_tracker(name), lambda: train(tmp_path, name)):
        with pytest.raises(ValueError, match=f"^report_to {name}: .* not installed; pip install {name}$"):
            refused()
    require_tracker("none")
