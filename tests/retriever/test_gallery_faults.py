"""Folders that hold no whole index: one clear line each, nothing is changed, and what is whole is read."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from galleries import drawn_studies, rows
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from medprobclip.retriever import gallery as module
from medprobclip.retriever.gallery import Gallery, GalleryError
from medprobclip.retriever.scoring import scored
from medprobclip.similarity import expected_likelihood
from medprobclip.support.locks import LockedError

PART = "part-000001.safetensors"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two parts."""
    monkeypatch.setattr(module, "SMALL", 4)
    gallery = Gallery(3, "model")
    gallery.save(tmp_path / "index")
    gallery.append(drawn_studies(5))
    gallery.append(drawn_studies(["a", "b"], seed=1))
    return tmp_path / "index"


def refusal(folder) -> str:
    """What both who open it and who have it open and append are told; the files stay as they are."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}
    with pytest.raises(GalleryError) as refused:
        Gallery.open(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"} == before
    message = str(refused.value)
    assert "\n" not in message
    return message


def change(folder, **changes):
    path = folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_no_index(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(GalleryError) as refused:
            Gallery.open(place)
        assert str(refused.value) == (
            f"{place} holds no index (index.json is missing); build one with medprobclip index"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", '{"format": 1, "mod', "[]", "7", "null", '"x"', "{}", "\0\0\0"])
def test_a_manifest_that_is_none(folder, content):
    (folder / "index.json").write_text(content)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'index.json'} cannot be read (")
    assert message.endswith("); copy the index anew, or build it anew")


@pytest.mark.parametrize("name", ["model", "dimensions", "with_text", "parts"])
@pytest.mark.parametrize(
    "value", ["gone", None, {}, [1], [{"name": "x"}], [{"name": 1, "studies": 2, "bytes": 3}]]
)
def test_a_manifest_that_lacks_something(folder, name, value):
    if value == "gone":
        path = folder / "index.json"
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != name}))
    elif (name, value) == ("parts", {}):
        return  # no parts, in another form
    else:
        change(folder, **{name: value})
    assert refusal(folder).startswith(f"{folder / 'index.json'} cannot be read (")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format(folder, version):
    change(folder, format=version)
    assert refusal(folder) == (
        f"{folder / 'index.json'} has format {version}, this version reads 1; build it anew"
    )


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_half_written_part(folder, kept):
    path = folder / PART
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(folder) == (
        f"{path} has {path.stat().st_size} of {whole} bytes; copy the index anew, or build it anew"
    )


def test_a_part_that_may_not_be_read(folder, monkeypatch):
    real = Path.open

    def refused(self, *arguments, **settings):
        if self.name == PART:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *arguments, **settings)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(GalleryError, match=r"cannot be read \(\[Errno 13\] Permission denied"):
        Gallery.open(folder)


def test_a_missing_part(folder):
    whole = (folder / PART).stat().st_size
    (folder / PART).unlink()
    assert refusal(folder) == f"{folder / PART} has 0 of {whole} bytes; copy the index anew, or build it anew"


@pytest.mark.parametrize("where", ["header", "length", "metadata"])
def test_a_part_with_other_bytes(folder, where):
    content = (folder / PART).read_bytes()
    if where == "header":
        content = content[:8] + b"#" * 20 + content[28:]
    elif where == "length":
        content = b"\xff" * 8 + content[8:]
    else:
        content = content.replace(b"study_ids", b"other_ids")
    (folder / PART).write_bytes(content)
    message = refusal(folder)
    assert message.startswith(f"{folder / PART} cannot be read (")
    assert message.endswith("); copy the index anew, or build it anew")


def test_a_part_of_another_index(folder):
    """Of the same size by chance, or when sizes were changed by hand, too."""
    expected = f"{folder / PART} does not hold what index.json says of it; build the index anew"
    manifest = json.loads((folder / "index.json").read_text())
    other = Gallery(4, "model")
    other.save(folder.parent / "other")
    other.append(drawn_studies(["a", "b"], dim=4))
    shutil.copy(folder.parent / "other" / "part-000000.safetensors", folder / PART)
    manifest["parts"][1]["bytes"] = (folder / PART).stat().st_size
    change(folder, parts=manifest["parts"])
    assert refusal(folder) == expected
    change(folder, dimensions=4)
    assert "part-000000" in refusal(folder)


def test_a_part_of_fewer_studies(folder):
    parts = json.loads((folder / "index.json").read_text())["parts"]
    parts[1]["studies"] = 3
    change(folder, parts=parts)
    assert (
        refusal(folder) == f"{folder / PART} does not hold what index.json says of it; build the index anew"
    )


def test_who_has_it_open_appends_nothing_to_a_broken_one(folder):
    gallery = Gallery.open(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(GalleryError, match="cannot be read"):
        gallery.append(drawn_studies(["c"]))
    assert len(gallery) == 7
    assert (folder / "index.json").read_text() == "{"


def test_what_an_interruption_leaves_does_no_harm(folder):
    before = rows(Gallery.open(folder))
    (folder / "part-000002.safetensors").write_bytes(b"half")
    (folder / "part-000002.safetensors.77.tmp").write_bytes(b"half")
    (folder / "index.json.77.tmp").write_text("{")
    (folder / ".tmpAbC123").write_bytes(b"half")  # as safetensors calls what it writes
    gallery = Gallery.open(folder)
    assert rows(gallery) == before
    gallery.append(drawn_studies(["c"]))
    assert rows(Gallery.open(folder)) == rows(gallery)
    assert rows(gallery)[:7] == before
    assert list(folder.glob("*.tmp*")) == []


def test_a_leftover_that_cannot_be_deleted_stays(folder):
    """A file that another process has open, on Windows; here a folder."""
    (folder / "odd.tmp").mkdir()
    gallery = Gallery.open(folder)
    assert gallery.append(drawn_studies(["c"])) == 1
    assert len(Gallery.open(folder)) == 8


def test_who_opens_while_another_appends_sees_the_one_or_the_other(folder, monkeypatch):
    """Between the list and the parts, a part is written anew with another, and deleted."""
    real, appended = Gallery._manifest, []

    def manifest(self):
        found = real(self)
        if not appended:
            appended.append(1)
            monkeypatch.setattr(Gallery, "_manifest", real)
            Gallery.open(folder).append(drawn_studies(["c"], seed=5))
            monkeypatch.setattr(Gallery, "_manifest", manifest)
        return found

    monkeypatch.setattr(Gallery, "_manifest", manifest)
    gallery = Gallery.open(folder)
    assert not (folder / PART).exists()
    assert [row[0] for row in rows(gallery)] == ["s0", "s1", "s2", "s3", "s4", "a", "b", "c"]


def test_an_index_that_was_put_back_is_read_as_it_is(folder):
    """A part of the same name with other studies: what is in memory no longer counts."""
    shutil.copytree(folder, folder.parent / "copy")
    gallery = Gallery.open(folder)
    gallery.append(drawn_studies(["c"], seed=5))
    for path in folder.iterdir():
        path.unlink()
    shutil.copytree(folder.parent / "copy", folder, dirs_exist_ok=True)
    Gallery.open(folder).append(drawn_studies(["longer name"], seed=6))
    gallery.append(drawn_studies(["d"], seed=7))
    assert [row[0] for row in rows(gallery)][5:] == ["a", "b", "longer name", "d"]
    assert rows(gallery) == rows(Gallery.open(folder))


def test_an_index_may_be_moved_and_linked(folder, tmp_path, monkeypatch):
    before = rows(Gallery.open(folder))
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert rows(Gallery.open(tmp_path / "link")) == before
    folder.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    gallery = Gallery.open(Path("moved"))
    assert rows(gallery) == before
    assert gallery.append(drawn_studies(["c"])) == 1


def test_a_process_that_takes_too_long_is_not_waited_for_forever(folder, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.01)
    (folder / ".lock.json").write_text(json.dumps({"host": "elsewhere", "process": 7, "since": "noon"}))
    gallery = Gallery.open(folder)  # reading needs no lock
    with pytest.raises(LockedError, match="process 7 on elsewhere works in it since noon"):
        gallery.append(drawn_studies(["c"]))
    assert len(Gallery.open(folder)) == 7


@pytest.mark.parametrize("error", [OSError(28, "No space left"), SafetensorError("No space left")])
def test_a_disk_that_is_full_loses_nothing(folder, monkeypatch, error):
    """Whatever is written when it is; safetensors has an error of its own for it."""
    before, gallery = rows(Gallery.open(folder)), Gallery.open(folder)

    def full(*_, **__):
        raise error

    for name in ("save_file", "write_json")[: 1 + isinstance(error, OSError)]:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(OSError, match="No space left"):
                gallery.append(drawn_studies(["c"]))
        assert rows(gallery) == rows(Gallery.open(folder)) == before
        assert list(folder.glob("*.tmp")) == []
    assert gallery.append(drawn_studies(["c"])) == 1
    assert len(Gallery.open(folder)) == 8


def test_a_part_with_numbers_that_are_none_is_told_by_its_scores(folder):
    """Nobody reads a million embeddings to open an index: NaN is refused where it would count."""
    with safe_open(folder / PART, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata()
    tensors["image_mean"][1, 0] = float("nan")
    save_file(tensors, folder / PART, metadata=metadata)
    gallery = Gallery.open(folder)
    queries = drawn_studies(2).report
    with pytest.raises(GalleryError, match="^query 0 and study b have a score of nan$"):
        scored(expected_likelihood, queries, gallery, "image", 1)
    assert torch.isfinite(scored(expected_likelihood, queries, gallery, "report", 1).scores).all()
