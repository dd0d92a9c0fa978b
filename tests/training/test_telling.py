"""What a training tells while it runs: each step once, in every place, whatever stopped it."""

import json
import math
import shlex
import time
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from medprobclip.commands import calibrate, index
from medprobclip.gaussian import Gaussian
from medprobclip.training import telling
from medprobclip.training.processes import Team
from medprobclip.training.summary import commands_after, duration, end_summary, speed
from medprobclip.training.telling import Pace, Telling, cut_after, memory_gb
from medprobclip.training.uncertainty import sigma_statistics

STEPS, EPOCHS, BATCH = 3, 3, 8


@pytest.fixture(autouse=True)
def later(monkeypatch):
    """Each file of TensorBoard opens ten seconds after the one before: it reads them in order of seconds."""
    opened = []

    def hostname():
        opened.append(1)
        return "here"

    clock = SimpleNamespace(time=lambda: time.time() + 10 * len(opened))
    monkeypatch.setattr(event_file_writer, "time", clock)
    monkeypatch.setattr(event_file_writer, "socket", SimpleNamespace(gethostname=hostname))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(telling.time, "monotonic", lambda: now.seconds)
    return now


def telling_of(out, done=(0, 0), team=None, report_to="none", settings=None):
    return Telling(out, team or Team(), settings or {}, report_to, EPOCHS, STEPS, BATCH, done)


def values(step: int, more: float = 0.0) -> dict[str, float]:
    return {"loss": step + more, "scale_a": 2.0 * step, "rate/heads": 0.5 / step, "sigma/image_mean": 1.0}


def row(epoch: int, more: float = 0.0) -> dict[str, float]:
    return {
        "epoch": epoch, "loss": 0.25 * epoch, "val_rsum": 100.0 + epoch + more, "val_R@10_i2t": 50.0,
        "val_R@10_t2i": 40.0, "seconds": 5.0,
    }  # fmt: skip


def tell(told: Telling, epochs: int = EPOCHS, done=(0, 0), more: float = 0.0, upto: int | None = None):
    """From `done` to the last epoch, or to a step within."""
    for epoch in range(done[0], epochs):
        start = done[1] if epoch == done[0] else 0
        with told.during(epoch, start):
            for step in range(epoch * STEPS + start + 1, (epoch + 1) * STEPS + 1):
                if upto is not None and step > upto:
                    return
                told.step(step, values(step, more))
        told.epoch((epoch + 1) * STEPS, row(epoch + 1, more))


def lines_of(out) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def scalars_of(out) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_number_is_in_both_files(tmp_path):
    with telling_of(tmp_path) as told:
        tell(told)
    scalars, lines = scalars_of(tmp_path), lines_of(tmp_path)
    assert set(scalars) == {
        "train/loss", "train/scale_a", "rate/heads", "sigma/image_mean", "machine/studies_per_second",
        "machine/memory_gb", "validation/rsum", "validation/R@10_i2t", "validation/R@10_t2i", "epoch/loss",
        "epoch/seconds",
    }  # fmt: skip
    assert scalars["train/loss"] == [(step, float(step)) for step in range(1, 10)]
    assert scalars["train/scale_a"][3] == (4, 8.0)
    assert scalars["rate/heads"][1] == (2, 0.25)
    assert scalars["validation/rsum"] == [(3, 101.0), (6, 102.0), (9, 103.0)]
    assert scalars["epoch/loss"] == [(3, 0.25), (6, 0.5), (9, 0.75)]
    found = {}
    for line in lines:
        for tag in line.keys() - {"kind", "step", "epoch"}:
            found.setdefault(tag, []).append((line["step"], pytest.approx(line[tag], rel=1e-6)))
    assert scalars == found
    assert [line["epoch"] for line in lines] == [1] * 4 + [2] * 4 + [3] * 4
    assert [line["kind"] for line in lines] == (["step"] * 3 + ["epoch"]) * 3


@pytest.mark.parametrize(
    ("done", "upto"),
    [((0, 0), 2), ((0, 2), 3), ((1, 0), 3), ((1, 0), 5), ((1, 1), 5), ((1, 3), None), ((3, 0), None)],
)
def test_a_resumed_training_tells_each_step_once(tmp_path, done, upto):
    """Killed while it wrote a line; (1, 3): its state was written between the last step and validation."""
    with telling_of(tmp_path) as told:
        tell(told, upto=upto)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "step", "st')
    with telling_of(tmp_path, done) as told:
        tell(told, done=done, more=0.5)
    before = done[0] * STEPS + done[1]
    losses = [(step, step + 0.5 * (step > before)) for step in range(1, 10)]
    recall = [(3 * epoch, 100 + epoch + 0.5 * (epoch > done[0])) for epoch in range(1, 4)]
    lines, scalars = lines_of(tmp_path), scalars_of(tmp_path)
    assert [(line["step"], line["train/loss"]) for line in lines if line["kind"] == "step"] == losses
    assert [(x["step"], x["validation/rsum"]) for x in lines if x["kind"] == "epoch"] == recall
    assert scalars["train/loss"] == losses
    assert scalars["validation/rsum"] == recall


def test_what_was_flushed_outlives_a_kill(tmp_path):
    """Read without closing: a killed process leaves so much."""
    with telling_of(tmp_path) as told:
        with told.during(0):
            told.step(1, values(1))
            told.step(2, values(2))
            assert [line["step"] for line in lines_of(tmp_path)] == [1, 2]
            told.flush()
            assert [step for step, _ in scalars_of(tmp_path)["train/loss"]] == [1, 2]


def test_what_stays_of_a_file_and_what_was_told_in_it(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert cut_after(path, 0, 0) == ([], (0, 0))
    steps = [{"kind": "step", "step": step, "epoch": 1} for step in (1, 2, 3)]
    written = "".join(json.dumps(line) + "\n" for line in [*steps, {"kind": "epoch", "step": 3, "epoch": 1}])
    path.write_text(written + json.dumps(steps[0]))  # whole, but for the end of its line
    cut_after(path, 3, 1)
    assert path.read_text() == written
    path.write_text(written + "\0\0\n" + written)  # as a power cut leaves it
    assert cut_after(path, 3, 1) == ([steps[2], {"kind": "epoch", "step": 3, "epoch": 1}], (3, 1))
    assert path.read_text() == written
    assert cut_after(path, 2, 0) == ([steps[1]], (3, 1))
    assert path.read_text() == "".join(json.dumps(line) + "\n" for line in steps[:2])


def test_numbers_that_are_not_finite_are_null(tmp_path):
    with telling_of(tmp_path) as told, told.during(0):
        told.step(1, {"loss": math.nan, "kl_image": math.inf})
    assert lines_of(tmp_path)[0].items() >= {"train/loss": None, "train/kl_image": None}.items()
    scalars = scalars_of(tmp_path)
    assert math.isnan(scalars["train/loss"][0][1])
    assert scalars["train/kl_image"] == [(1, math.inf)]


def test_only_the_leading_process_tells(tmp_path, capsys, clock):
    with telling_of(tmp_path, team=Team(2, 1), report_to="wandb") as told:
        tell(told)
        told.flush()
        told.end([row(1)])
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_a_line_a_minute_where_no_bar_can_move(tmp_path, capsys, clock):
    """Steps of 25 s, the first of 100; validation takes 60. 8 studies in 25 s are 0.32 a second."""
    with telling_of(tmp_path) as told:
        for epoch in range(2):
            with told.during(epoch):
                for step in range(epoch * 3 + 1, epoch * 3 + 4):
                    clock.seconds += 100 if step == 1 else 25
                    told.step(step, values(step))
            clock.seconds += 60
            told.epoch(epoch * 3 + 3, row(epoch + 1))
    speed = [value for _, value in scalars_of(tmp_path)["machine/studies_per_second"]]
    assert speed == pytest.approx([0.08] + 5 * [0.32])
    # Line 1: 8 steps of 100 s are left, no validation is known. Then, after 60 s or more, the sixth step.
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/3, step 1/3: loss 1.000, 0.08 studies/s, 13 min left",
        "epoch 1/3: loss 0.250, validation RSUM 101.0, 5 s, 4 min left",  # 6 steps of 25 s, two of 60 s
        "epoch 2/3, step 3/3: loss 6.000, 0.32 studies/s, 2 min left",  # 3 steps, a validation
        "epoch 2/3: loss 0.500, validation RSUM 102.0, 5 s, 2 min left",
    ]


def test_a_bar_shows_the_same(tmp_path, capsys, clock):
    shown = []
    bar = SimpleNamespace(disable=False, update=lambda: shown.append("+"))
    bar.set_postfix_str = lambda text, refresh: shown.append(text)
    with telling_of(tmp_path) as told:
        told.bar = bar
        clock.seconds += 64
        told.step(1, values(1))
    assert shown == ["loss 1.000, 0.125 studies/s, 9 min left", "+"]
    assert capsys.readouterr().out == ""


def test_the_pace_forgets_its_first_step_and_then_slowly():
    pace = Pace()
    for seconds, expected in [(100, 100), (2, 2), (4, 3), (6, 4)]:
        pace.took(seconds)
        assert pace.seconds == pytest.approx(expected)
    for _ in range(30):
        pace.took(4)
    pace.took(24)
    assert pace.seconds == pytest.approx(5)  # the newest counts a twentieth


def test_a_full_disk_names_the_file(tmp_path):
    def full(_):
        raise OSError(28, "No space left on device")

    def still_full():
        raise OSError("what closing says is not the first error")

    def train():
        with telling_of(tmp_path) as told, told.during(0):
            told.file.close()
            told.file = SimpleNamespace(write=full, close=still_full)
            told.step(1, values(1))

    with pytest.raises(OSError, match=r"metrics\.jsonl cannot be written: No space left on device$"):
        train()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (3540, "59 min"), (3600, "1 h 0 min"), (18720, "5 h 12 min"),
     (86399, "1 d 0 h"), (183600, "2 d 3 h")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0.3217, "0.322"), (42.35, "42.4"), (99.6, "100"), (118.4, "118"), (1234.5, "1,234")]
)
def test_speeds(rate, text):
    assert speed(rate) == f"{text} studies/s"


def test_the_summary_of_a_training_that_got_no_better(tmp_path):
    history = [row(1), row(2, 5.0), row(3, 4.0)]  # 101, 107 and 107: the first of equals is kept
    assert end_summary(history, tmp_path, 118.4) == (
        "Best of 3 epochs: 2, validation RSUM 107.0, R@10 50.0 % image to report, 40.0 % report to image.\n"
        "Time: 15 s, 118 studies/s.\n"
        f"Checkpoint: {tmp_path / 'checkpoint'}. Every step: {tmp_path / 'metrics.jsonl'}, "
        f"{tmp_path / 'tensorboard'}."
    )


def test_the_summary_of_a_training_that_still_rises(tmp_path, capsys):
    with telling_of(tmp_path) as told:
        told.end([row(1), row(2), row(3)], ["one --two", "three"])
    last = capsys.readouterr().out.splitlines()[-4:]
    assert last[0] == "The last epoch was the best, still rising: the same command with --epochs 5 goes on."
    assert last[1:] == ["Next:", "  one --two", "  three"]
    assert "rising" not in end_summary([row(1)], tmp_path)
    assert end_summary([row(1)], tmp_path).startswith("One epoch: validation RSUM 101.0, R@10 50.0 % image")


def test_the_next_commands_are_ones_that_there_are(tmp_path):
    """Read by the parsers of the commands themselves, from a folder with a space."""
    out = tmp_path / "my run"
    first, second, third = (shlex.split(line) for line in commands_after(out, calibrated=False))
    assert first[:2] == ["medprobclip", "calibrate"]
    assert calibrate.parser().parse_args(first[2:]).run == out
    assert second[:2] == ["medprobclip", "index"]
    assert index.parser().parse_args(second[2:]).run == out
    assert third == ["tensorboard", "--logdir", str(out / "tensorboard")]
    assert commands_after(out, calibrated=True) == commands_after(out, calibrated=False)[1:]


def test_memory_is_that_of_this_process(monkeypatch):
    before = memory_gb(torch.device("cpu"))
    held = torch.empty(2**25)  # 0.125 GiB in float32, none of it touched
    assert memory_gb(torch.device("cpu")) - before < 0.02
    held.fill_(1)
    assert memory_gb(torch.device("cpu")) - before == pytest.approx(held.nbytes / 2**30, abs=0.02)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    assert memory_gb(torch.device("cuda")) == 3


def test_sigma_by_a_loop(make_gaussian):
    images, reports = [make_gaussian(5, 3, seed=i) for i in (1, 2)], [make_gaussian(5, 3, seed=3)]
    found = sigma_statistics([g.map(torch.Tensor.requires_grad_) for g in images], reports)
    assert list(found) == [
        "sigma/image_mean",
        "sigma/image_spread",
        "sigma/report_mean",
        "sigma/report_spread",
    ]
    for side, parts in {"image": images, "report": reports}.items():
        means = []
        for study in range(5):
            sigmas = [math.sqrt(float(v)) for part in parts for v in part.var[study].detach()]
            means.append(sum(sigmas) / len(sigmas))
        mean = sum(means) / 5
        spread = math.sqrt(sum((m - mean) ** 2 for m in means) / 5)
        assert float(found[f"sigma/{side}_mean"]) == pytest.approx(mean)
        assert float(found[f"sigma/{side}_spread"]) == pytest.approx(spread)
    assert all(value.shape == () and not value.requires_grad for value in found.values())
    alone = sigma_statistics([Gaussian(torch.zeros(1, 2), torch.zeros(1, 2))], reports)
    assert (float(alone["sigma/image_mean"]), float(alone["sigma/image_spread"])) == (1, 0)
