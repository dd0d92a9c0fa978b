"""One folder that holds all: written whole or not at all, read back equal, uploaded only where it may be."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoProcessor

from medprobclip.retriever import retriever as module
from medprobclip.retriever.gallery import Gallery, GalleryError
from medprobclip.retriever.retriever import Retriever, is_hub_name
from medprobclip.training.errors import TrainingError


@pytest.fixture
def retriever(calibrated_run, float32):
    return Retriever.from_run(calibrated_run)


@pytest.fixture
def saved(retriever, study_tables, tmp_path):
    retriever.index(study_tables["test"], with_text=True)
    retriever.save(tmp_path / "saved", with_text=True)
    return tmp_path / "saved"


@pytest.fixture
def film(study_tables):
    return study_tables["test"].parent / "test-3-pa.png"


def told(answers) -> dict:
    return json.loads(json.dumps(answers.to_dict()))


def test_loaded_gives_equal_answers_where_it_lies_and_elsewhere(
    retriever, saved, film, tmp_path, monkeypatch
):
    before = [told(answers) for answers in retriever.search([film, "opacity", "A small opacity in it."])]
    again = Retriever.load(saved)
    assert [told(a) for a in again.search([film, "opacity", "A small opacity in it."])] == before
    saved.rename(tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for place in ("moved", Path("link")):
        other = Retriever.load(place)
        assert [told(a) for a in other.search([film, "opacity", "A small opacity in it."])] == before
    monkeypatch.chdir(film.parent)  # an open one stays where it is
    assert other.index(film.parent / "validate.csv") == 12
    assert len(Retriever.load(tmp_path / "moved").gallery) == 24
    assert before[0]["answers"][0].keys() == {"rank", "study_id", "score", "probability", "in_set", "text"}


def test_nothing_in_it_is_a_pickle(saved):
    files = [path for path in saved.rglob("*") if path.is_file() and not path.name.startswith(".lock")]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md", ".py"}
    for path in files:
        head = path.read_bytes()[:4]
        assert head[:2] not in (b"\x80\x02", b"\x80\x04", b"\x80\x05")
        assert head != b"PK\x03\x04"
        if path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
    names = {str(path.relative_to(saved)) for path in files}
    assert {
        "README.md", "calibration.json", "config.json", "model.safetensors", "strangeness.safetensors",
        "embeddings-calibrate.safetensors", "index/index.json", "index/part-000000.safetensors",
        "processor_config.json", "tokenizer.json",
    } <= names  # fmt: skip


@torch.no_grad()
def test_the_model_loads_as_before_from_the_same_folder(saved, calibrated_run, film):
    found = []
    for folder in (saved, calibrated_run / "checkpoint"):
        model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
        image, report = model(**processor(images=film, text="Opacity."))
        found.append(model.similarity(image, report))
    assert torch.equal(*found)


def test_what_is_added_is_added_in_the_folder(saved, study_tables):
    loaded = Retriever.load(saved)
    assert loaded.index(study_tables["test"]) == 0
    assert loaded.index(study_tables["validate"]) == 12
    assert len(Retriever.load(saved).gallery) == 24
    assert {path.name for path in (saved / "index").glob("*usual*")} == {
        "report-usual.safetensors", "image-usual.safetensors",
    }  # fmt: skip


def test_a_saved_one_goes_on_there_and_is_saved_again_elsewhere(retriever, saved, study_tables, tmp_path):
    assert retriever.gallery.folder == saved / "index"
    retriever.index(study_tables["validate"])
    retriever.save(tmp_path / "second")
    second = Retriever.load(tmp_path / "second")
    assert len(second.gallery) == 24
    assert not second.gallery.with_text
    assert not any(b"opacity" in path.read_bytes() for path in (tmp_path / "second" / "index").iterdir())
    assert "not their texts" in (tmp_path / "second" / "README.md").read_text()
    assert "**and the text of their reports**" in (saved / "README.md").read_text()
    with pytest.raises(
        GalleryError, match="^the index has no report text to save: index the studies with_te"
    ):
        second.save(tmp_path / "third", with_text=True)
    assert not (tmp_path / "third").exists()


def test_a_relative_folder_is_meant_from_where_it_was_saved(retriever, tmp_path, monkeypatch, study_tables):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    retriever.save("saved")
    monkeypatch.chdir(tmp_path)
    retriever.index(study_tables["test"])
    assert len(Retriever.load(tmp_path / "a" / "saved").gallery) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_is_written_over(retriever, saved, tmp_path):
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    for place in (saved, tmp_path):
        with pytest.raises(GalleryError, match="is not empty; choose another folder$"):
            retriever.save(place)
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("at", ["copyfile", "card", "save_index", "append"])
def test_a_save_that_was_interrupted_is_refused_and_begun_again(
    retriever, study_tables, tmp_path, monkeypatch, film, at
):
    retriever.index(study_tables["test"])

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        owner, name = {
            "copyfile": (module.shutil, "copyfile"), "card": (module, "card"),
            "save_index": (Gallery, "_write_manifest"), "append": (Gallery, "append"),
        }[at]  # fmt: skip
        patch.setattr(owner, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            retriever.save(tmp_path / "saved")
    with pytest.raises(
        GalleryError, match="was not written to its end; the same call of medprobclip index g"
    ):
        Retriever.load(tmp_path / "saved")
    assert len(retriever.search(film)) == 10  # still in memory
    retriever.save(tmp_path / "saved")
    assert len(Retriever.load(tmp_path / "saved").gallery) == 12
    assert not (tmp_path / "saved" / ".unfinished").exists()


def refusal(call, *arguments) -> str:
    with pytest.raises(GalleryError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_folders_that_hold_none(tmp_path, calibrated_run, saved):
    (tmp_path / "empty").mkdir()
    expected = "holds no saved retriever; build one with medprobclip index"
    assert refusal(Retriever.load, tmp_path / "empty") == f"{tmp_path / 'empty'} {expected}"
    assert refusal(Retriever.load, calibrated_run) == f"{calibrated_run} {expected}"
    assert refusal(Retriever.load, tmp_path / "nowhere") == f"{tmp_path / 'nowhere'} {expected}"
    assert refusal(Retriever.from_run, tmp_path) == f"{tmp_path} holds no checkpoint; train it first"
    assert "was not calibrated" in refusal(Retriever.load, calibrated_run / "checkpoint")
    (saved / "index" / "index.json").unlink()
    assert "holds no index (index.json is missing)" in refusal(Retriever.load, saved)


@pytest.mark.parametrize("kept", [0, 40])
def test_a_run_whose_calibration_is_half_written(calibrated_run, tmp_path, kept):
    run = shutil.copytree(calibrated_run, tmp_path / "run")
    path = run / "calibration.json"
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(Retriever.from_run, run).startswith(f"{path} cannot be read (")
    path.write_text("{}")
    assert "was not calibrated" in refusal(Retriever.from_run, run)


def test_another_models_index(retriever, tmp_path):
    other = Gallery(8, "0123456789abcdef")
    other.save(tmp_path / "other")
    assert refusal(retriever.attach, tmp_path / "other") == (
        f"{tmp_path / 'other'} was built with another model (0123456789ab, this one is "
        f"{retriever.model_hash[:12]}): scores would mean nothing. Build the index anew"
    )
    assert retriever.gallery.folder is None


def test_another_model_than_the_calibrated(saved, calibrated_run, tmp_path):
    """And a run whose model is another than that of the folder."""
    same = shutil.copytree(calibrated_run, tmp_path / "run")
    loaded = Retriever.load(saved)
    loaded.require_model_of(same)
    for folder in (saved, same / "checkpoint"):
        tensors = load_file(folder / "model.safetensors")
        save_file({name: 2 * t for name, t in tensors.items()}, folder / "model.safetensors")
    assert refusal(Retriever.load, saved) == (
        f"{saved} is another model than the one that was calibrated; calibrate the run anew"
    )
    with pytest.raises(TrainingError, match="is of another checkpoint than"):
        Retriever.from_run(same)
    assert refusal(loaded.require_model_of, same) == (
        f"{saved} was built with another model than {same}: their embeddings do not go together. Choose "
        "another folder"
    )
    assert "holds no checkpoint" in refusal(loaded.require_model_of, tmp_path)


def test_other_densities_than_the_calibrated(saved, film):
    """Its p-values would be none; without any, a film is not called strange."""
    path = saved / "strangeness.safetensors"
    tensors = load_file(path)
    save_file({name: t / 2 for name, t in tensors.items()}, path)
    assert (
        refusal(Retriever.load, saved) == f"{path} is another than at the calibration; calibrate the run anew"
    )
    path.unlink()
    answers = Retriever.load(saved).search(film)
    assert answers.p_strange is None
    assert "strangeness unknown" in answers.doubts


@pytest.fixture
def hub(monkeypatch):
    """A Hub that notes what is asked of it; `public` repositories are there already."""
    calls, public = [], set()

    class Hub:
        def __init__(self, token=None):
            calls.append(("token", token))

        def create_repo(self, repo_id, private, exist_ok):
            calls.append(("create", repo_id, private, exist_ok))

        def repo_info(self, repo_id):
            return SimpleNamespace(private=repo_id not in public)

        def upload_folder(self, repo_id, folder_path, ignore_patterns):
            from huggingface_hub.utils import filter_repo_objects

            files = [str(p.relative_to(folder_path)) for p in Path(folder_path).rglob("*") if p.is_file()]
            calls.append(
                ("upload", repo_id, set(filter_repo_objects(files, ignore_patterns=ignore_patterns)))
            )
            return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr(module, "HfApi", Hub)
    return SimpleNamespace(calls=calls, public=public)


def test_uploaded_privately_without_locks(retriever, saved, hub, monkeypatch):
    (saved / "index" / ".lock.json").write_text("{}")
    (saved / "index" / "part-000000.safetensors.7.tmp").write_text("half")
    (saved / "index" / ".tmpAbC123").write_text("half")
    (saved / ".lock").touch()
    (saved / "index" / ".lock").touch()
    assert retriever.push_to_hub("somebody/films", token="t") == "https://huggingface.co/somebody/films"
    assert hub.calls[:2] == [("token", "t"), ("create", "somebody/films", True, True)]
    (_, name, files), count = hub.calls[2], len(hub.calls)
    assert (name, count) == ("somebody/films", 3)
    assert {"model.safetensors", "README.md", "index/index.json", "index/part-000000.safetensors"} <= files
    assert not [file for file in files if "lock" in file or "tmp" in file]


def test_a_public_repository_is_asked_for_by_name(retriever, saved, hub):
    hub.public.add("somebody/films")
    assert refusal(retriever.push_to_hub, "somebody/films") == (
        "somebody/films is there and public: make it private or say private=False"
    )
    assert "upload" not in {call[0] for call in hub.calls}
    retriever.push_to_hub("somebody/films", private=False)
    assert hub.calls[-1][0] == "upload"
    assert hub.calls[-2] == ("create", "somebody/films", False, True)


def test_only_a_saved_one_is_uploaded(retriever, saved, hub, calibrated_run):
    """Not the checkpoint of a run to which an index was attached."""
    expected = "save the retriever into a folder first: that is what is uploaded"
    fresh = Retriever.from_run(calibrated_run)
    assert refusal(fresh.push_to_hub, "somebody/films") == expected
    fresh.attach(saved / "index")
    assert refusal(fresh.push_to_hub, "somebody/films") == expected
    assert hub.calls == []
    Retriever.load(saved).push_to_hub("somebody/films")
    assert hub.calls[-1][0] == "upload"


def test_loaded_from_the_hub_by_name(saved, film, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(module, "snapshot_download", lambda name: asked.append(name) or str(saved))
    assert len(Retriever.load("somebody/films").search(film)) == 10
    assert asked == ["somebody/films"]

    def offline(name):
        raise OSError("nobody answers\nand a long story")

    monkeypatch.setattr(module, "snapshot_download", offline)
    assert refusal(Retriever.load, "out/indx") == (
        "out/indx is no folder here, and from the Hub it cannot be fetched (nobody answers)"
    )


def test_names_of_repositories():
    assert all(map(is_hub_name, ("a/b", "some-body/films_2.0")))
    assert not any(
        map(is_hub_name, ("a", "/a/b", "a/b/c", "./a", "../a", "a/", "a/b ", "~/a", "a\\b", ".a/b"))
    )
