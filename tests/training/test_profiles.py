"""One source for every default: dataclasses, command line and notebooks agree."""

import json
from dataclasses import fields, replace

import nbformat
import pytest

from medprobclip.commands.run import parser as run_parser
from medprobclip.settings import OBJECTIVES
from medprobclip.support.files import to_json
from medprobclip.training.command_line import parse
from medprobclip.training.profiles import PROFILES, get_profile
from medprobclip.training.run_config import PARTS
from medprobclip.workbench.workspace import ROOT, NotebookParameters

TABLES = ["--train_csv", "a", "--val_csv", "b", "--test_csv", "c", "--out", "d"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_command_line_defaults_are_the_profile_and_the_objective(name, objective):
    _, profile = parse([*TABLES, "--profile", name, "--objective", objective])
    assert profile == get_profile(name, objective)
    assert profile == replace(PROFILES[name], objective=OBJECTIVES[objective])


def test_the_default_objective_is_the_published_one():
    assert parse(TABLES)[1] == get_profile("demo") == get_profile("demo", "medprobclip") == PROFILES["demo"]


def test_flags_override_the_objectives_values():
    _, profile = parse([*TABLES, "--objective", "pcme++", "--soft", "tfidf", "--unit_mean", "False"])
    assert profile.objective == replace(OBJECTIVES["pcme++"], soft="tfidf", unit_mean=False)


def test_values_that_do_not_go_together_are_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        parse([*TABLES, "--views", "1"])
    assert "image_image_weight contrasts two views" in capsys.readouterr().err


def test_a_flag_overrides_only_its_field():
    _, profile = parse([*TABLES, "--kl_weight", "0.5"])
    for part in PARTS:
        for field in fields(getattr(profile, part)):
            expected = (
                0.5 if field.name == "kl_weight" else getattr(getattr(PROFILES["demo"], part), field.name)
            )
            assert getattr(getattr(profile, part), field.name) == expected


def test_paper_profile_is_the_papers_defaults():
    paper = get_profile("paper")
    assert (paper.training.learning_rate, paper.training.batch_size, paper.training.epochs) == (5e-5, 64, 20)
    assert (paper.encoders.embed_dim, paper.encoders.image_size, paper.encoders.max_tokens) == (512, 224, 256)
    assert (paper.objective.image_image_weight, paper.objective.text_text_weight) == (1.0, 0.1)


def test_every_flag_has_a_help_text():
    for part in PARTS:
        for field in fields(getattr(PROFILES["demo"], part)):
            assert field.metadata.get("help"), field.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_parameters_are_the_dataclass_defaults(path):
    cells = [c for c in nbformat.read(path, 4).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    values: dict = {}
    exec(cells[0].source, values)  # our own parameters cell
    values.pop("__builtins__")
    assert values.pop("interactive", True) is True  # sliders for who opens it
    assert values == NotebookParameters().as_dict()


def test_headless_default_is_the_notebooks_default():
    found = run_parser().parse_args([])
    assert (found.profile, found.objective) == (NotebookParameters.profile, NotebookParameters.objective)


def test_unknown_profile_is_refused_with_the_names():
    with pytest.raises(ValueError, match="smoke, demo, laptop, paper"):
        get_profile("large")


def test_unknown_objective_is_refused_with_the_names():
    with pytest.raises(
        ValueError, match="medprobclip, medprobclip-soft, medprobclip-coded, medprobclip-inclusion, clip"
    ):
        get_profile("demo", "siglip")


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", PROFILES)
def test_settings_are_json_that_gives_them_back(name, objective):
    """`settings.json` of a run: no NaN or Infinity, which other languages do not read."""
    settings = get_profile(name, objective).settings()
    assert json.loads(to_json(settings), parse_constant=pytest.fail) == json.loads(json.dumps(settings))
