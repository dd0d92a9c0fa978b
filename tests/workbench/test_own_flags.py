"""`--tables` and `--show_text` of the two commands, and where runs on tables of one's own lie."""

from pathlib import Path

import pytest

from medprobclip.commands import figures, run
from medprobclip.training.profiles import PROFILES, get_profile
from medprobclip.workbench import flags, headless
from medprobclip.workbench.workspace import NotebookParameters

COMMANDS = pytest.mark.parametrize("command", [run, figures], ids=["run", "figures"])


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What the commands ask for, in order, with nothing run; from a folder of its own."""
    found = []
    monkeypatch.setattr(flags, "ROOT", tmp_path)
    monkeypatch.setattr(headless, "check_tables", lambda workspace: found.append(workspace.tables))
    keep = lambda parameters, *_: found.append(parameters) or parameters.workspace()  # noqa: E731
    monkeypatch.setattr(
        "medprobclip.paper.reproduce.reproduce", keep
    )  # loaded before what it takes is changed
    monkeypatch.setattr(headless, "run_notebooks", keep)
    for command in (run, figures):
        monkeypatch.setattr(command, "last_words", lambda *_: "")
    monkeypatch.chdir(tmp_path)
    return found


@COMMANDS
@pytest.mark.parametrize("profile", ["paper", "laptop"])
def test_profiles_for_own_radiographs_need_tables(command, profile, asked, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["--profile", profile])
    assert f"the {profile} profile is for radiographs of your own" in capsys.readouterr().err
    assert asked == []


@COMMANDS
def test_a_relative_folder_is_that_of_whoever_calls(command, asked, tmp_path):
    """Notebooks run in another folder."""
    command.main(["--profile", "laptop", "--tables", "mine/tables", "--show_text"])
    tables, parameters = asked
    assert tables == tmp_path / "mine" / "tables"
    assert parameters.as_dict() == {
        "profile": "laptop", "objective": "medprobclip", "root": str(tmp_path), "publish": False,
        "own_tables": str(tables), "show_text": True,
    }  # fmt: skip


def test_own_tables_are_never_published(asked, tmp_path):
    """`figures` of the demo profile writes the committed figures, but not of somebody's radiographs."""
    figures.main(["--profile", "demo"])
    figures.main(["--profile", "demo", "--tables", "mine"])
    first, second = (p for p in asked if isinstance(p, NotebookParameters))
    assert (first.publish, second.publish, second.own_tables) == (True, False, str(tmp_path / "mine"))
    with pytest.raises(ValueError, match="shows the demo's corpus, not yours"):
        NotebookParameters(publish=True, own_tables="mine").workspace()


def test_runs_on_own_tables_have_folders_of_their_own(tmp_path):
    def place(**others):
        return NotebookParameters("smoke", root=str(tmp_path), **others).workspace()

    own, demo = place(own_tables=str(tmp_path / "a" / "mimic")), place()
    assert own.runs == tmp_path / "runs" / "smoke-mimic"
    assert own.figures == own.run / "figures"
    assert own.report == own.runs / "report" / "index.html"
    assert (own.tables, demo.tables) == (tmp_path / "a" / "mimic", None)
    assert (own.shows_text, demo.shows_text) == (False, True)
    assert place(own_tables="x", show_text=True).shows_text
    assert place(own_tables="~/x").tables == Path.home() / "x"


@pytest.mark.parametrize("profile", PROFILES)
def test_who_needs_tables(profile):
    needs = profile in ("laptop", "paper")
    assert get_profile(profile).needs_own_tables == needs
    if needs:
        with pytest.raises(ValueError, match=r"--tables.*docs/own_data\.md"):
            NotebookParameters(profile).workspace()
    assert NotebookParameters(profile, own_tables="x").workspace().profile.name == profile


def test_laptop_is_demo_with_more_of_small_data():
    """The same model and rates, so that what was found for the demo holds; small encoders at 128 px."""
    laptop, demo = get_profile("laptop"), get_profile("demo")
    assert laptop.encoders == demo.encoders
    assert laptop.encoders.image_size == 128
    assert laptop.training.epochs == 2 * demo.training.epochs
    assert laptop.training.learning_rate == demo.training.learning_rate
    assert laptop.augmentation.one_section
    assert laptop.augmentation.sentence_ties
    assert "needs_own_tables" not in laptop.settings()  # a run is not known by who may start it


def test_tables_are_checked_with_their_pictures_before_anything_runs(tmp_path, monkeypatch, capsys):
    """All parts, the two that are set aside among them, and whether text may be shown."""
    checked = []
    monkeypatch.setattr(headless, "preflight", lambda *a, **k: checked.append((a, k)))
    demo = NotebookParameters("smoke", root=str(tmp_path)).workspace()
    headless.check_tables(demo)  # builds no corpus either
    assert (checked, list(tmp_path.iterdir())) == ([], [])
    parts = {split: tmp_path / f"{split}.csv" for split in ("train", "calibrate", "validate", "test")}
    corpus = headless.Workspace.corpus

    class Own:
        part = staticmethod(parts.get)
        described = staticmethod(lambda: "Your own tables.")

    monkeypatch.setattr(headless.Workspace, "corpus", lambda self: Own)
    own = NotebookParameters("smoke", root=str(tmp_path), own_tables="x", show_text=True).workspace()
    headless.check_tables(own)
    monkeypatch.setattr(headless.Workspace, "corpus", corpus)
    (((tables, profile, out), options),) = checked
    assert tables == {
        "training": parts["train"], "validation": parts["validate"], "calibration": parts["calibrate"],
        "test": parts["test"],
    }  # fmt: skip
    assert (profile, out, options) == (own.profile, own.run, {"show_text": True})
    assert capsys.readouterr().out == "Your own tables.\n"
