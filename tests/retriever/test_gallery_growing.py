"""A gallery grows by appending, in memory as in a folder, and a study's number and id never change."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from galleries import drawn_studies, rows, rows_of
from safetensors import safe_open

from medprobclip.gaussian import Gaussian
from medprobclip.retriever import gallery as module
from medprobclip.retriever.gallery import Gallery, GalleryError, Studies


@pytest.fixture(params=["memory", "folder"])
def gallery(request, tmp_path):
    empty = Gallery(3, "model", with_text=True)
    if request.param == "folder":
        empty.save(tmp_path / "index")
    return empty


@pytest.fixture
def small_parts(monkeypatch):
    """Parts below 4 studies are written anew."""
    monkeypatch.setattr(module, "SMALL", 4)


def test_growth_in_pieces_is_growth_at_once(gallery, small_parts):
    whole = drawn_studies(40, texts=True)
    generator = np.random.default_rng(0)
    start = 0
    while start < len(whole):
        stop = start + int(generator.integers(1, 9))
        assert gallery.append(whole.select([*range(start, min(stop, 40))])) == min(stop, 40) - start
        assert rows(gallery) == rows_of(whole, texts=True)[: min(stop, 40)]
        start = stop
    for number in (40, -1):
        with pytest.raises(IndexError, match=f"no study has the number {number}"):
            gallery.study(number)


def test_ids_never_change_through_many_appends(tmp_path, small_parts):
    """Random ids, many of them again: the first study with an id stays, at its number, for all who look."""
    generator = np.random.default_rng(1)
    written, memory = Gallery(3, "model"), Gallery(3, "model")
    written.save(tmp_path)
    expected: dict[str, tuple] = {}
    for step in range(60):
        ids = generator.choice(200, size=int(generator.integers(1, 8)), replace=False)
        studies = drawn_studies([f"s{i}" for i in ids], seed=step)
        new = [row for row in rows_of(studies) if row[0] not in expected]
        expected |= {row[0]: row for row in new}
        appending = written if step % 2 else Gallery.open(tmp_path)  # two that take turns
        assert appending.append(studies) == memory.append(studies) == len(new)
        for seen in (appending, memory, Gallery.open(tmp_path)):
            assert rows(seen) == list(expected.values())
            assert seen.wordings == {row[0]: row[2] for row in expected.values()}


def test_parts_stay_few_and_large_ones_are_not_written_again(tmp_path, small_parts):
    gallery = Gallery(3, "model")
    gallery.save(tmp_path)
    for i in range(9):
        gallery.append(drawn_studies([f"{i}"], seed=i))
    sizes = [
        (part["studies"], part["bytes"])
        for part in json.loads((tmp_path / "index.json").read_text())["parts"]
    ]
    assert [studies for studies, _ in sizes] == [4, 4, 1]
    found = sorted(path for path in tmp_path.glob("part-*"))
    assert [path.stat().st_size for path in found] == [size for _, size in sizes]
    states = [path.stat().st_mtime_ns for path in found]
    gallery.append(drawn_studies(["last"]))
    assert [path.stat().st_mtime_ns for path in found[:2]] == states[:2]
    assert not found[2].exists()


def test_many_at_once_are_several_parts(tmp_path, small_parts, monkeypatch):
    """What a part's header holds has to stay below the format's limit."""
    monkeypatch.setattr(module, "LARGE", 5)
    gallery, whole = Gallery(3, "model", with_text=True), drawn_studies(19, texts=True)
    gallery.save(tmp_path)
    gallery.append(whole.select([0, 1]))
    gallery.append(whole)
    assert [len(part) for part in gallery.parts] == [5, 5, 5, 4]
    assert rows(Gallery.open(tmp_path)) == rows(gallery) == rows_of(whole, texts=True)
    found = [part["name"] for part in json.loads((tmp_path / "index.json").read_text())["parts"]]
    assert found == [f"part-{number:06d}.safetensors" for number in (1, 2, 3, 4)]
    assert sorted(path.name for path in tmp_path.glob("part-*")) == found
    gallery.append(drawn_studies(["more"], texts=True))
    assert rows(Gallery.open(tmp_path))[:19] == rows_of(whole, texts=True)
    assert len(list(tmp_path.glob("part-*"))) == 5


def test_a_save_that_fails_loses_nothing(tmp_path, monkeypatch):
    gallery = Gallery(3, "model")
    gallery.append(drawn_studies(5))
    before = rows(gallery)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    for name in ("write_json", "save_file"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(OSError, match="No space left"):
                gallery.save(tmp_path / name)
        assert rows(gallery) == before
        assert gallery.folder is None
    gallery.save(tmp_path / "whole")
    assert rows(Gallery.open(tmp_path / "whole")) == before
    assert gallery.append(drawn_studies(6)) == 1
    assert len(Gallery.open(tmp_path / "whole")) == 6


def test_nothing_new_writes_nothing(tmp_path):
    gallery = Gallery(3, "model")
    gallery.save(tmp_path)
    studies = drawn_studies(5)
    assert gallery.append(studies) == 5
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.*n*")}
    assert gallery.append(studies.select([3, 1])) == 0
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.*n*")} == before
    assert len(before) == 2


@pytest.mark.parametrize("size", [1, 3, 4, 100])
@pytest.mark.parametrize("first", [0, 3, 4, 9, 11])
def test_blocks_are_the_studies_from_a_number_on(gallery, small_parts, size, first):
    whole = drawn_studies(12, texts=True)
    for start in (0, 4, 9):
        gallery.append(whole.select([*range(start, {0: 4, 4: 9, 9: 12}[start])]))
    for side in ("image", "report"):
        blocks = list(gallery.blocks(side, size, first))
        assert all(1 <= len(block) <= size for _, block in blocks)
        numbers = [start + i for start, block in blocks for i in range(len(block))]
        assert numbers == [*range(first, 12)]
        found = Gaussian.cat([block for _, block in blocks])
        assert torch.equal(found.mean, whole.side(side).mean[first:])
        assert torch.equal(found.log_var, whole.side(side).log_var[first:])
    assert torch.equal(gallery.wording, whole.wording)


def test_text_is_kept_only_where_it_is_asked_for(tmp_path):
    studies = drawn_studies(3, texts=True)
    silent = Gallery(3, "model")
    silent.save(tmp_path)
    silent.append(studies)
    assert rows(Gallery.open(tmp_path)) == rows_of(studies)
    assert not any(b"text of" in path.read_bytes() for path in tmp_path.iterdir())
    speaking = Gallery(3, "model", with_text=True)
    with pytest.raises(GalleryError, match="^this index keeps report text: give the studies with theirs$"):
        speaking.append(drawn_studies(3))
    assert len(speaking) == 0


def test_embeddings_of_any_precision_are_kept_in_single(gallery):
    """A part that is written anew would else take the precision of what is added."""
    halves = drawn_studies(["half"], texts=True)
    for name, dtype in (("half", torch.float16), ("double", torch.float64)):
        sides = (side.to(dtype) for side in (halves.image, halves.report))
        gallery.append(Studies([name], *sides, halves.wording, ["text"]))
    for side in ("image", "report"):
        for _, block in gallery.blocks(side, 8):
            assert block.mean.dtype == block.log_var.dtype == torch.float32
    huge = halves.image.to(torch.float64).map(lambda t: 1e300 + t)
    with pytest.raises(GalleryError, match="radiograph of study huge has an embedding of NaN or infinity"):
        gallery.append(Studies(["huge"], huge, huge, halves.wording, ["text"]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("side", "name"), [("image", "radiograph"), ("report", "report")])
@pytest.mark.parametrize("part", ["mean", "log_var"])
def test_numbers_that_are_none_are_refused_and_nothing_is_added(gallery, value, side, name, part):
    gallery.append(drawn_studies(["before"], texts=True))
    studies = drawn_studies(4, texts=True)
    getattr(studies.side(side), part)[2, 1] = value
    with pytest.raises(GalleryError) as refused:
        gallery.append(studies)
    assert str(refused.value) == f"the {name} of study s2 has an embedding of NaN or infinity"
    assert [row[0] for row in rows(gallery)] == ["before"]


def test_other_faults_of_studies_are_refused(gallery):
    with pytest.raises(GalleryError, match="^the studies have 4 dimensions, the index 3$"):
        gallery.append(drawn_studies(2, dim=4, texts=True))
    with pytest.raises(GalleryError, match="^study b stands twice among those to add; every study needs its"):
        gallery.append(drawn_studies(["a", "b", "c", "b"], texts=True))
    studies = drawn_studies(3)
    for changed in (
        {"study_ids": ["a", "b"]}, {"wording": studies.wording[:2]}, {"texts": ["a"]},
        {"image": studies.image[:2]}, {"report": Gaussian(*studies.report.mean[None, :, :2].repeat(2, 1, 1))},
    ):  # fmt: skip
        with pytest.raises(GalleryError, match="do not go together"):
            Studies(**{**vars(studies), **changed})
    assert len(gallery) == 0


def test_threads_that_append_lose_nothing(gallery, small_parts):
    """Each its own studies and some that all have; in a folder also through objects of their own."""
    folder = gallery.folder

    def append(worker: int) -> int:
        mine = gallery if folder is None or worker % 2 else Gallery.open(folder)
        ids = [[f"{worker}-{i}", f"all-{i}"] for i in range(6)]
        return sum(mine.append(drawn_studies(pair, seed=worker, texts=True)) for pair in ids)

    with ThreadPoolExecutor(4) as pool:
        added = sum(pool.map(append, range(4)))
    gallery.append(drawn_studies(["last"], texts=True))
    ids = [row[0] for row in rows(gallery)]
    expected = {f"{worker}-{i}" for worker in range(4) for i in range(6)} | {f"all-{i}" for i in range(6)}
    assert set(ids) == expected | {"last"}
    assert len(ids) == len(set(ids)) == added + 1


def test_a_saved_gallery_is_the_same_and_goes_on_in_its_folder(tmp_path, small_parts):
    gallery = Gallery(3, "model", with_text=True)
    whole = drawn_studies(11, texts=True)
    for start in range(0, 11, 3):
        gallery.append(whole.select([*range(start, min(start + 3, 11))]))
    gallery.save(tmp_path)
    gallery.append(drawn_studies(["more"], texts=True))
    opened = Gallery.open(tmp_path)
    assert (opened.dim, opened.model, opened.with_text, opened.folder) == (3, "model", True, tmp_path)
    assert rows(opened) == rows(gallery)
    assert rows(opened)[:11] == rows_of(whole, texts=True)
    with pytest.raises(GalleryError, match="holds an index already; append to it or choose another folder$"):
        Gallery(3, "model").save(tmp_path)
    assert rows(Gallery.open(tmp_path)) == rows(gallery)


def test_a_part_is_plain_safetensors(tmp_path):
    studies = drawn_studies(3)
    gallery = Gallery(3, "model")
    gallery.save(tmp_path)
    gallery.append(studies)
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {"index.json", "part-000000.safetensors"}
    with safe_open(tmp_path / "part-000000.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["study_ids"]) == ["s0", "s1", "s2"]
        np.testing.assert_array_equal(file.get_tensor("report_log_var"), studies.report.log_var.numpy())
        assert set(file.keys()) == {"image_mean", "image_log_var", "report_mean", "report_log_var", "wording"}
