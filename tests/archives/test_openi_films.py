"""OpenI as it was downloaded: the real reports with made-up films, and miniature archives."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from archived import called, dropped, openi_reports, openi_views, picture, tables
from hypothesis import given, settings, strategies as st

from medprobclip.archives.openi_films import films_in, read_openi
from medprobclip.archives.options import OpenI
from medprobclip.data.assets import fetch
from medprobclip.data.openi import read_openi_reports, read_view_positions


@pytest.fixture(scope="module")
def reports():
    return read_openi_reports(fetch("openi_reports"))


def test_the_real_reports_in_full(reports, tmp_path, capsys):
    """Every film that a report names, as an empty file: none is opened."""
    (tmp_path / "films").mkdir()
    for images in reports["image_ids"]:
        for image in images:
            (tmp_path / "films" / f"{image}.png").touch()
    out = tmp_path / "out"
    assert called("openi", "--root", tmp_path / "films", "--out", out) is None
    found = tables(out)
    named = reports[reports["image_ids"].map(len) > 0]
    texts = (named["findings"] + named["impression"]) != ""
    assert dropped(out)["no image named in the report"] == (104, 104)
    count = sum(map(len, found.values()))
    patients = [set(part["patient_id"]) for part in found.values()]
    assert len(set.union(*patients)) == sum(map(len, patients)) == count
    assert 0 <= int(texts.sum()) - count <= 3  # "XXXX" alone is no text
    source = reports.set_index("study_id")
    positions = read_view_positions(fetch("openi_image_metadata"))
    for part in found.values():
        for row in part.itertuples():
            report = source.loc[row.study_id]
            images = tuple(path.rsplit("/", 1)[1].removesuffix(".png") for path in row.image_paths)
            assert images == report["image_ids"]
            assert row.view_names == tuple(positions.get(image, "") for image in images)
            assert row.findings in (report["findings"], "")
            assert row.impression in (report["impression"], "")
            assert row.codes == report["codes"]
    printed = capsys.readouterr().out
    assert f"--calibrate_csv {out / 'calibrate.csv'}" in printed


@pytest.fixture
def archive(tmp_path):
    """Forty studies of two films; the flags to prepare them."""
    names = {i: (f"CXR{i}_IM-{i:04d}-1001", f"CXR{i}_IM-{i:04d}-2001") for i in range(1, 41)}
    openi_reports(tmp_path / "r.tgz", [(i, f"Finding {i}.", f"Impression {i}.", names[i]) for i in names])
    views = {
        image: view for images in names.values() for image, view in zip(images, ("PA", "LL"), strict=True)
    }
    openi_views(tmp_path / "v.csv.gz", views)
    for i, images in names.items():
        for image in images:
            picture(tmp_path / "films" / f"part{i % 3}" / f"{image}.png", i)
    return [
        "openi", "--root", tmp_path / "films", "--reports", tmp_path / "r.tgz",
        "--metadata", tmp_path / "v.csv.gz", "--out", tmp_path / "out",
    ]  # fmt: skip


def test_films_are_found_by_id_at_any_depth(archive, tmp_path, capsys):
    films = tmp_path / "films"
    (films / "part1" / "CXR1_IM-0001-1001.png").rename(
        films / "1_IM-0001-1001.dcm.png"
    )  # as mirrors name them
    (films / "part2" / "CXR2_IM-0002-1001.png").unlink()
    (films / "part0" / "CXR3_IM-0003-1001.png").unlink()
    (films / "part0" / "CXR3_IM-0003-2001.png").unlink()
    picture(films / "CXR9999_IM-0001-1001.png")
    (films / "readme.txt").write_text("x")
    assert called(*archive) is None
    assert dropped(tmp_path / "out") == {"image file not there": (1, 3)}
    found = {row.study_id: row for part in tables(tmp_path / "out").values() for row in part.itertuples()}
    assert len(found) == 39
    assert found["CXR1"].image_paths[0].endswith("films/1_IM-0001-1001.dcm.png")
    assert found["CXR2"].view_names == ("LL",)
    assert all(row.findings == f"Finding {row.patient_id}." for row in found.values())
    assert "1 image files belong to no report" in capsys.readouterr().out


def test_a_film_that_two_reports_name_is_neithers(archive, tmp_path):
    both = "CXR1_IM-0001-1001"
    names = {i: [f"CXR{i}_IM-{i:04d}-1001"] for i in range(1, 41)}
    openi_reports(tmp_path / "r.tgz", [(i, "a", "b", names[i] if i > 2 else [both]) for i in names])
    assert called(*archive) is None
    assert dropped(tmp_path / "out")["an image named twice"] == (2, 2)


def test_frontal_only_and_limit(archive, tmp_path):
    assert called(*archive, "--frontal_only", "--limit", 2, "--calibrate_share", 0) is None
    found = tables(tmp_path / "out")
    assert {name: len(part) for name, part in found.items()} == {"train": 2, "validate": 2, "test": 2}
    assert {views for part in found.values() for views in part["view_names"]} == {("PA",)}


def test_what_is_not_openi_is_one_clear_line(archive, tmp_path):
    films, out = tmp_path / "films", tmp_path / "other"
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "NLMCXR_png.tgz").write_bytes(b"x")
    (tmp_path / "no.tgz").write_bytes(b"x")
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    others = tmp_path / "others"
    picture(others / "CXR9999_IM-0001-1001.png")
    twice = tmp_path / "twice"
    openi_reports(twice.with_suffix(".tgz"), [(1, "a", "b", ("CXR1_IM-1",))] * 2)
    for changes, expected in (
        ({"--root": tmp_path / "gone"}, "gone: no such folder (--root)"),
        ({"--root": tmp_path / "r.tgz"}, "r.tgz: an archive. Unpack it, and give the folder (--root)"),
        ({"--root": packed}, "no radiograph such as CXR1000_IM-0003-1001.png in it; unpack NLMCXR_png.tgz"),
        ({"--root": others}, "no study is left: 80 of 80 images: image file not there. Is "),
        ({"--reports": tmp_path / "no.tgz"}, "no.tgz: not a readable .tgz archive"),
        ({"--reports": tmp_path / "gone.tgz"}, "gone.tgz"),
        ({"--reports": twice.with_suffix(".tgz")}, "twice.tgz: CXR1 has two reports"),
        ({"--metadata": tmp_path / "no.csv"}, "no.csv: not OpenI's image metadata"),
    ):
        flags = dict(zip(archive[1::2], archive[2::2], strict=True)) | {"--out": out} | changes
        line = called("openi", *(word for pair in flags.items() for word in pair))
        assert isinstance(line, str), changes
        assert expected in line
        assert "\n" not in line
    picture(films / "copy" / "CXR1_IM-0001-1001.png")
    assert "two files of one image" in called(*archive)


def test_film_names(tmp_path):
    names = [
        "CXR1_IM-0001-1001.png",
        "2_IM-0002-1001.dcm",
        "3_IM-0003.dcm.PNG",
        "x.png",
        "CXR4.png",
        "a_IM-1.png",
    ]
    for name in names:
        (tmp_path / name).touch()
    assert films_in(tmp_path) == {
        "CXR1_IM-0001-1001": f"{tmp_path}/CXR1_IM-0001-1001.png",
        "CXR2_IM-0002-1001": f"{tmp_path}/2_IM-0002-1001.dcm",
        "CXR3_IM-0003": f"{tmp_path}/3_IM-0003.dcm.PNG",
    }


IMAGES = [f"CXR{i}_IM-{i:04d}-{view}001" for i in (1, 2, 3) for view in (1, 2)]
CELL = st.sampled_from(["Clear.", "", "XXXX", "Opacity; left, small.", " "])


@settings(max_examples=25)
@given(
    reports=st.dictionaries(
        st.integers(1, 9), st.tuples(CELL, CELL, st.lists(st.sampled_from(IMAGES), max_size=3)), min_size=1
    ),
    there=st.sets(st.sampled_from(IMAGES), min_size=1),
    views=st.dictionaries(st.sampled_from(IMAGES), st.sampled_from(["PA", "LL", "", "nan"])),
    frontal=st.booleans(),
)
def test_whatever_the_archive_holds(reports, there, views, frontal):
    """Every film of a study is there and named by its report alone, every text is its report's."""
    good = {i: ("Clear.", "Normal.", [f"CXR{i}_IM-{i:04d}-1001"]) for i in range(10, 40)}
    reports, there = reports | good, there | {images[0] for *_, images in good.values()}
    views = views | {images[0]: "PA" for *_, images in good.values()}
    named = Counter(image for *_, images in reports.values() for image in images)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "films").mkdir()
        for image in there:
            (root / "films" / f"{image}.png").touch()
        options = OpenI(
            out=root / "out", root=root / "films", frontal_only=frontal,
            reports=openi_reports(root / "r.tgz", [(i, *report) for i, report in reports.items()]),
            metadata=openi_views(root / "v.csv.gz", views),
        )  # fmt: skip
        studies, _ = read_openi(options)
    assert {row.patient_id for row in studies.itertuples()} >= {str(i) for i in range(10, 40)}
    for row in studies.itertuples():
        findings, impression, images = reports[int(row.patient_id)]
        films = [path.rsplit("/", 1)[1].removesuffix(".png") for path in row.image_paths]
        assert films
        assert set(films) <= set(images) & there
        assert all(named[film] == 1 for film in films)
        assert (row.findings, row.impression) == tuple(
            " ".join(text.split()) if text.strip(" X") else "" for text in (findings, impression)
        )
        assert row.findings or row.impression
        assert not frontal or set(row.view_names) == {"PA"}
