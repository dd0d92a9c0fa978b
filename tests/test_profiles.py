"""One source for every default: dataclasses, command line and notebooks agree."""

from dataclasses import fields

import nbformat
import pytest

from medprobclip.headless import ROOT
from medprobclip.headless import parser as headless_parser
from medprobclip.medprobclip_train import PARTS, parse
from medprobclip.profiles import PROFILES, get_profile
from medprobclip.workspace import NotebookParameters

TABLES = ["--train_csv", "a", "--val_csv", "b", "--test_csv", "c", "--out", "d"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", PROFILES)
def test_command_line_defaults_are_the_profile(name):
    _, profile = parse([*TABLES, "--profile", name])
    assert profile == get_profile(name)


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
    for part in PARTS.values():
        assert [field.name for field in fields(part) if not field.metadata.get("help")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_parameters_are_the_dataclass_defaults(path):
    cells = [c for c in nbformat.read(path, 4).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    values: dict = {}
    exec(cells[0].source, values)  # our own parameters cell
    values.pop("__builtins__")
    assert values == NotebookParameters().as_dict()


def test_headless_default_is_the_notebooks_default():
    assert headless_parser().parse_args([]).profile == NotebookParameters().profile


def test_unknown_profile_is_refused_with_the_names():
    with pytest.raises(ValueError, match="smoke, demo, paper"):
        get_profile("large")
