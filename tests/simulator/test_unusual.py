"""Films that are none of their study: what is made of a tiny corpus, and what is kept and made again."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from medprobclip.data.radiographs import read_image
from medprobclip.simulator import unusual
from medprobclip.simulator.corpus import image_paths, simulate_corpus
from medprobclip.simulator.simulate import SimulationConfig, simulate_study
from medprobclip.simulator.unusual import UNUSUAL, unusual_films

CONFIG = SimulationConfig()
RENDERED = ("oblique", "abdomen", "without")
VIEWS = [("pa", "lateral"), ("pa",), ("lateral", "pa"), ("lateral",)]
CODES = [("Cardiomegaly/severe", "Pleural Effusion/right/large"), ("normal",), ("Emphysema",), ()]


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Four studies and their films: with a finding, normal without a lateral, with one, a lateral only."""
    folder = tmp_path_factory.mktemp("corpus")
    table = pd.DataFrame({"study_id": [f"CXR{i}" for i in range(4)], "codes": CODES})
    table["sex"] = ["female", "male", "", "male"]
    simulate_corpus(table.assign(views=VIEWS), folder, CONFIG, workers=1)
    table["view_names"] = [tuple(view.upper() for view in views) for views in VIEWS]
    table["image_paths"] = [
        tuple(map(str, image_paths(folder, f"CXR{i}", views))) for i, views in enumerate(VIEWS)
    ]
    table["appearance"] = [("heart",), (), ("lungs",), ()]
    return table


def films_of(paths: list[str]) -> np.ndarray:
    return np.stack([read_image(path) for path in paths])


def made(name, studies, folder, **settings):
    return unusual_films(name, studies, films_of, CONFIG, folder, **{"workers": 1, **settings})


def film(studies, row: int, view: str = "PA") -> np.ndarray:
    return read_image(dict(zip(studies["view_names"][row], studies["image_paths"][row], strict=True))[view])


@pytest.fixture
def renders(monkeypatch):
    """The studies that are rendered: grey squares, one grey for each study and number of codes."""
    calls = []

    def render(name, jobs, config):
        calls.extend((name, study_id) for study_id, _, _ in jobs)
        return [np.full((128, 128), 10 * int(job[0][-1]) + len(job[1]), np.uint8) for job in jobs]

    monkeypatch.setattr(unusual, "_render", render)
    return calls


def test_mirrored_twice_is_the_film_itself(studies, tmp_path):
    rows, once = made("mirrored", studies, tmp_path)
    assert rows.tolist() == [0, 1, 2]  # those with a PA film
    for row, picture in zip(rows, once, strict=True):
        assert np.array_equal(picture[:, ::-1], film(studies, row))
        assert not np.array_equal(picture, film(studies, row))
    _, twice = unusual_films("mirrored", studies.iloc[:3], lambda paths: once, CONFIG, tmp_path)
    assert np.array_equal(twice, np.stack([film(studies, row) for row in range(3)]))
    assert not list(tmp_path.iterdir())  # nothing had to be rendered


def test_inverted_grey_adds_up_to_white(studies, tmp_path):
    rows, films = made("inverted", studies, tmp_path)
    assert rows.tolist() == [0, 1, 2]
    assert films.dtype == np.uint8
    for row, picture in zip(rows, films, strict=True):
        assert (picture.astype(int) + film(studies, row) == 255).all()


def test_laterals_are_taken_where_there_are_some(studies, tmp_path):
    """Beside a PA film, wherever in the study's list it stands."""
    rows, films = made("lateral", studies, tmp_path)
    assert rows.tolist() == [0, 2]
    for row, picture in zip(rows, films, strict=True):
        assert np.array_equal(picture, film(studies, row, "LATERAL"))


def test_other_poses_are_of_the_same_patient_with_the_same_findings(studies, tmp_path):
    """With their pose undone they are the stored film; with it, far from it, and from one another."""
    for name in ("oblique", "abdomen"):
        rows, films = made(name, studies, tmp_path)
        assert rows.tolist() == [0, 1, 2]
        assert films.shape == (3, 128, 128)
        assert films.dtype == np.uint8
        for row, picture in zip(rows, films, strict=True):
            own = film(studies, row)
            assert np.abs(picture.astype(int) - own).mean() > 10
            assert np.ptp(picture) > 100  # a film, not a blank
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(unusual._POSES, "oblique", lambda shape: shape)
        _, films = made("oblique", studies, tmp_path)  # what is kept there is of another pose
    for row, picture in enumerate(films):
        assert np.array_equal(picture, film(studies, row))


def test_without_its_finding_the_patient_stays(studies, tmp_path, monkeypatch):
    """Of studies in which something was drawn; from two workers, threads here, with one film each."""
    monkeypatch.setattr(unusual, "CHUNK", 1)
    monkeypatch.setattr(unusual, "ProcessPoolExecutor", lambda workers, *_, **__: ThreadPoolExecutor(workers))
    rows, films = made("without", studies, tmp_path, workers=2)
    assert rows.tolist() == [0, 2]
    for row, picture in zip(rows, films, strict=True):
        study = studies.iloc[row]
        expected = simulate_study(study["study_id"], (), CONFIG, sex=study["sex"], views=("pa",)).pa
        assert np.array_equal(picture, expected)
        assert not np.array_equal(picture, film(studies, row))


@pytest.mark.parametrize("name", RENDERED)
def test_what_was_rendered_is_read_back(studies, tmp_path, renders, name):
    rows, films = made(name, studies, tmp_path)
    assert renders == [(name, f"CXR{row}") for row in rows]
    again_rows, again = made(name, studies, tmp_path)
    assert len(renders) == len(rows)
    assert np.array_equal(again, films)
    assert np.array_equal(again_rows, rows)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.npz"]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.iloc[:2],
        lambda table: table.assign(study_id=[f"CXR{i + 4}" for i in range(4)]),
        lambda table: table.assign(codes=[("normal",), *CODES[1:]]),
        lambda table: table.assign(sex="female"),
    ],
    ids=["fewer", "others", "codes", "sex"],
)
def test_other_studies_are_rendered_anew(studies, tmp_path, renders, change):
    made("oblique", studies, tmp_path)
    first = len(renders)
    changed = change(studies)
    _, films = made("oblique", changed, tmp_path)
    assert len(renders) == first + len(films)
    made("oblique", changed, tmp_path)
    assert len(renders) == first + len(films)


def test_another_simulation_is_rendered_anew(studies, tmp_path, renders, monkeypatch):
    made("oblique", studies, tmp_path)
    unusual_films("oblique", studies, films_of, SimulationConfig(seed=7), tmp_path, 1)
    assert len(renders) == 6
    monkeypatch.setattr(unusual, "PREPARATION_VERSION", -1)
    unusual_films("oblique", studies, films_of, SimulationConfig(seed=7), tmp_path, 1)
    assert len(renders) == 9


def test_what_the_films_without_finding_are_does_not_hang_on_the_codes(studies, tmp_path, renders):
    made("without", studies, tmp_path)
    made("without", studies.assign(codes=[("Emphysema",)] * 4), tmp_path)
    assert len(renders) == 2


def test_each_kind_has_a_file_of_its_own(studies, tmp_path, renders):
    kept = {name: made(name, studies, tmp_path)[1] for name in RENDERED}
    for name in RENDERED:
        assert np.array_equal(made(name, studies, tmp_path)[1], kept[name])
    assert len(renders) == 3 + 3 + 2


def test_a_table_without_such_films_gives_none(studies, tmp_path):
    normal = studies.iloc[[1, 3]].reset_index(drop=True)
    for name, expected in {"without": 0, "lateral": 0, "mirrored": 1}.items():
        rows, films = made(name, normal, tmp_path)
        assert len(rows) == expected
        assert films.shape == (expected, 128, 128)


def test_an_unknown_kind_is_refused(studies, tmp_path):
    with pytest.raises(KeyError, match="upside-down"):
        made("upside-down", studies, tmp_path)


def test_every_kind_is_told_and_some_cannot_be_seen(studies, tmp_path, renders):
    for name, kind in UNUSUAL.items():
        assert kind.label
        assert kind.why
        rows, films = made(name, studies, tmp_path)
        assert len(rows) == len(films) > 0
    assert {name for name, kind in UNUSUAL.items() if not kind.detectable} == {"lateral", "without"}
