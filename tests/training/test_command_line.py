"""Flags, files and the run in the folder: who wins, what is refused, and by which name."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import yaml

from medprobclip.settings import OBJECTIVES
from medprobclip.support.files import write_json
from medprobclip.training.command_line import parse
from medprobclip.training.foreign_flags import _HINTS
from medprobclip.training.profiles import get_profile
from medprobclip.training.run_config import GROUP_OF, PARTS, Tables, keep_config
from medprobclip.training.state import Progress

NEEDED = ["--train_csv", "a.csv", "--val_csv", "b.csv"]
# The flags of github.com/FOURM-LAB/MedProbCLIP, commit 6685ec2, that are not ours by the same name.
PUBLISHED = """lr grad_clip img_size max_len beta_vib_I beta_vib_T alpha_pp pp_k pp_thresh img_backbone
    text_backbone freeze_img freeze_text proj_hidden log_interval disable_lr_scheduler trial_augment
    alpha_warmup_epochs continue_from_epoch lambda_I lambda_T""".split()
SAME = "train_csv val_csv test_csv epochs batch_size workers weight_decay out seed".split()


@pytest.fixture
def refused(capsys):
    """What a command line is refused with."""

    def errors(*arguments):
        with pytest.raises(SystemExit) as stopped:
            parse([*map(str, arguments)])
        assert stopped.value.code == 2
        return capsys.readouterr().err

    return errors


@pytest.fixture
def config(tmp_path):
    def write(name="c.yaml", **content):
        (tmp_path / name).write_text(
            json.dumps(content) if name.endswith("json") else yaml.safe_dump(content)
        )
        return tmp_path / name

    return write


@pytest.fixture
def run(tmp_path):
    """A run of the paper profile, two of its epochs done."""
    profile = get_profile("paper")
    profile = replace(profile, training=replace(profile.training, learning_rate=1e-4))
    return begun(tmp_path / "run", profile)


def begun(out, profile, progress=None):
    keep_config(Tables(Path("a.csv"), Path("b.csv"), out, Path("c.csv")), profile)
    write_json(out / "settings.json", profile.settings())
    progress = progress or Progress([{"epoch": 1}, {"epoch": 2}])
    (out / "states" / progress.name).mkdir(parents=True)
    (out / "states" / progress.name / "progress.json").write_text(json.dumps(asdict(progress)))
    return out


@pytest.mark.parametrize("name", ["c.yaml", "c.json"])
def test_flags_win_over_the_file_and_the_file_over_the_profile(config, name):
    path = config(
        name, profile="paper", objective="clip", seed=7, training={"epochs": 5, "learning_rate": "1e-3"},
        tables={"train_csv": "a.csv", "val_csv": "b.csv", "out": "o"}, machine={"workers": 2},
    )  # fmt: skip
    tables, profile = parse(["--config", str(path), "--epochs", "6"])
    expected = get_profile("paper", "clip")
    assert tables == Tables(Path("a.csv"), Path("b.csv"), Path("o"))
    assert profile == replace(
        expected,
        training=replace(expected.training, epochs=6, seed=7, learning_rate=1e-3),
        machine=replace(expected.machine, workers=2),
    )


def test_an_objective_may_be_a_group_with_its_name(config):
    path = config(objective={"name": "clip", "kl_weight": 0.5})
    assert parse([*NEEDED, "--out", "o", "--config", str(path)])[1].objective == replace(
        OBJECTIVES["clip"], kl_weight=0.5
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"training": {"learning_rat": 1}}, "c.yaml: training.learning_rat: no such setting; did you mean "
         "learning_rate?"),
        ({"trainin": {"seed": 1}}, "c.yaml: trainin: no such setting; did you mean training?"),
        ({"lr": 1}, "c.yaml: lr: here learning_rate"),
        ({"training": {"embed_dim": 8}}, "c.yaml: training.embed_dim: belongs to encoders, not to training"),
        ({"training": 3}, "c.yaml: training: takes names with values"),
        ({"training": {"epochs": 2.5}}, "c.yaml: training.epochs: 2.5 is not a whole number"),
        ({"seed": 1, "training": {"seed": 1}}, "c.yaml: training.seed: stands twice"),
        ({"profile": "large"}, "c.yaml: profile: no profile 'large'; choose one of smoke, demo"),
        ({"objective": ["clip"]}, "c.yaml: objective: no objective ['clip']; choose one of"),
        ({"epochs": 0}, "epochs = 0 is out of range"),
        ({"machine": {"report_to": "mail"}}, "machine.report_to: 'mail' is none of none, wandb, mlflow"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_by_file_and_key(config, refused, content, told):
    path = config(**content, compile="maybe")
    error = refused(*NEEDED, "--out", "o", "--config", path)
    assert told in error
    assert "c.yaml: compile: 'maybe' is not true or false" in error  # all at once


def test_a_set_of_defaults_that_would_change_nothing_is_refused(run, refused):
    path = run / "config.yaml"
    error = refused("--config", path, "--out", run / "other", "--objective", "clip", "--profile", "demo")
    assert "--objective clip: changes nothing" in error
    assert "--profile demo: changes nothing" in error
    parse(["--config", str(path), "--out", str(run / "other"), "--profile", "paper"])


def test_out_alone_goes_on_with_the_run(run):
    tables, profile = parse(["--out", str(run)])
    assert profile == replace(
        get_profile("paper"), training=replace(get_profile("paper").training, learning_rate=1e-4)
    )
    assert tables == Tables(*(Path(name).absolute() for name in ("a.csv", "b.csv")), run,
                            Path("c.csv").absolute())  # fmt: skip


def test_the_saved_configuration_is_one_for_config_and_for_another_folder(run, tmp_path):
    assert parse(["--config", str(run / "config.yaml")]) == parse(["--out", str(run)])
    tables, profile = parse(["--config", str(run / "config.yaml"), "--out", str(tmp_path / "new")])
    assert profile == parse(["--out", str(run)])[1]
    assert tables == replace(parse(["--out", str(run)])[0], out=tmp_path / "new")


def test_a_moved_run_goes_on_where_it_is(run, tmp_path):
    run.rename(tmp_path / "moved")
    assert parse(["--out", str(tmp_path / "moved")])[0].out == tmp_path / "moved"


def test_the_same_command_again_is_no_conflict(run):
    same = [*NEEDED, "--out", str(run), "--profile", "paper", "--objective", "medprobclip"]
    assert parse([*same, "--learning_rate", "1e-4"])[1] == parse(["--out", str(run)])[1]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--learning_rate", "1e-3"], "--learning_rate: the run in this folder has 0.0001, asked for 0.001"),
        (["--max_scale", "9"], "--max_scale: the run in this folder has none, asked for 9.0"),
        (["--profile", "demo"], "--profile: the run in this folder has paper, asked for demo"),
        (["--profile", "paper"], "--profile (paper): learning_rate: the run in this folder has 0.0001"),
        (["--objective", "pcme++"], "--objective (pcme++): score: the run in this folder has "
         "expected_likelihood, asked for csd"),
        (["--epochs", "1"], "--epochs: the run in this folder has 2 finished, asked for 1"),
        (["--calibrate_share", "0.5"], "--calibrate_share: the run in this folder has none, asked for 0.5"),
    ],
)  # fmt: skip
def test_what_the_run_is_not_is_refused_by_its_flag(run, refused, flags, told):
    error = refused("--out", run, *flags)
    assert told in error
    assert "Leave them out and the run goes on" in error
    assert "embed_dim" not in error


def test_a_key_of_a_file_that_conflicts_is_named_too(run, refused, config):
    error = refused("--out", run, "--config", config(training={"seed": 1}))
    assert "c.yaml: training.seed: the run in this folder has 42, asked for 1" in error


def test_machine_epochs_and_places_may_change(run):
    flags = ["--chunk", "8", "--workers", "2", "--epochs", "30", "--test_csv", "other.csv"]
    tables, profile = parse(["--out", str(run), *flags])
    assert (profile.machine.chunk, profile.machine.workers, profile.training.epochs) == (8, 2, 30)
    assert profile.training.learning_rate == 1e-4
    assert tables.test_csv == Path("other.csv")
    assert parse(["--out", str(run), "--epochs", "2"])[1].training.epochs == 2
    keep_config(tables, profile)
    assert parse(["--out", str(run)])[1].machine == profile.machine  # as it was run last


def test_before_the_first_state_nothing_binds(tmp_path):
    out = begun(tmp_path / "run", get_profile("paper"), Progress())
    for state in (out / "states").iterdir():
        (state / "progress.json").unlink()
    assert parse([*NEEDED, "--out", str(out)])[1] == get_profile("demo")
    assert parse(["--out", str(out)])[1] == get_profile("paper")
    assert parse(["--out", str(out), "--profile", "laptop", "--seed", "1"])[1].name == "laptop"
    assert parse(["--out", str(out), "--profile", "laptop"])[1] == get_profile("laptop")


def test_a_run_from_before_the_configuration_asks_for_its_tables(run, refused):
    (run / "config.yaml").unlink()
    assert "required: --train_csv, --val_csv" in refused("--out", run)
    assert parse([*NEEDED, "--out", str(run)])[1].training.learning_rate == 1e-4


@pytest.mark.parametrize("name", ["settings.json", "config.yaml"])
def test_a_run_whose_files_are_broken_is_one_line(run, refused, name):
    (run / name).write_text("{")
    assert f"run/{name}: " in refused("--out", run)


def test_published_flags_are_ours_or_say_what_is(refused):
    assert set(SAME) <= GROUP_OF.keys()
    assert not set(PUBLISHED) & GROUP_OF.keys()
    error = refused(*NEEDED, "--out", "o", *(f"--{name}=1" for name in PUBLISHED))
    assert all(f"--{name}: " in error for name in PUBLISHED)
    assert "no such flag" not in error
    assert "--lr: here --learning_rate" in error
    assert "no term of its loss" in error


def test_hints_name_flags_that_exist():
    words = {word.strip(".,:;") for said in _HINTS.values() for word in said.split()}
    ours = {word.removeprefix("--").split("/")[0] for word in words if word.startswith("--")}
    assert ours - {"nproc_per_node"} <= GROUP_OF.keys()
    assert not _HINTS.keys() & GROUP_OF.keys()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--epoch=3", "--epoch: no such flag; did you mean --epochs?"),
        ("--learning-rate=3", "--learning-rate: here --learning_rate"),
        ("--batchsize", "--batchsize: no such flag; did you mean --batch_size?"),
        ("--LR", "--LR: here --learning_rate"),
        ("--bs", "--bs: here --batch_size"),
        ("--profil", "--profil: no such flag; did you mean --profile?"),
        ("--zzz", "--zzz: no such flag; medprobclip train --help lists all"),
        ("stray", "stray: belongs to no flag"),
    ],
)
def test_unknown_flags_say_what_may_have_been_meant(refused, word, told):
    error = refused(*NEEDED, "--out", "o", word)
    assert told in error
    assert error.count("\n") < 8  # not a screen of all flags


def test_every_field_has_one_place():
    profile = get_profile("demo")
    names = [entry.name for config in (Tables, *(getattr(profile, part) for part in PARTS))
             for entry in fields(config)]  # fmt: skip
    assert len(names) == len(set(names)) == len(GROUP_OF)
