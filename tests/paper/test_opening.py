"""The report opens with what this very run found, and with a film that somebody can read."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medprobclip.paper.findings.readme import NEEDED
from medprobclip.paper.opening import conclusion, example_film
from medprobclip.workbench.workspace import ROOT

EFFUSION = "Large right pleural effusion."


def table(tmp_path, *rows) -> pd.DataFrame:
    """A study table with two pictures a study, the lateral one first; frontal pictures differ."""
    columns = ["codes", "findings", "impression"]
    studies = pd.DataFrame(rows, columns=columns)
    for i in range(len(rows)):
        for view, grey in (("lateral", 200), ("pa", 10 * i)):
            picture = np.full((32, 32), grey, np.uint8)
            picture[:16] += 20
            Image.fromarray(picture).save(tmp_path / f"S{i}_{view}.png")
    ids = [f"S{i}" for i in range(len(rows))]
    paths = [f"S{i}_lateral.png;S{i}_pa.png" for i in range(len(rows))]
    studies = studies.assign(study_id=ids, image_paths=paths, view_names="LATERAL;PA", sex="female")
    studies.to_csv(tmp_path / "test.csv", index=False)
    return tmp_path / "test.csv"


def test_the_sentences_are_those_of_the_readme_and_of_the_figures_of_this_run(tmp_path):
    for name in NEEDED:
        shutil.copy(ROOT / "figures" / f"{name}.csv", tmp_path)
    said = conclusion(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(said) == 4
    assert all(f"\n- {sentence}\n" in readme for sentence in said)
    table = pd.read_csv(tmp_path / "table_1.csv")
    table.assign(value=table["value"] / 2).to_csv(tmp_path / "table_1.csv", index=False)
    assert conclusion(tmp_path)[0] != said[0]
    (tmp_path / f"{NEEDED[-1]}.csv").unlink()
    with pytest.raises(FileNotFoundError, match=NEEDED[-1]):
        conclusion(tmp_path)


def test_a_film_with_a_plain_finding_is_shown_from_the_front(tmp_path):
    film = example_film(
        table(
            tmp_path,
            ("normal", "Lungs are clear.", "Normal chest."),
            ("Nodule/lung/right", "There is a nodule in the right lung.", "Nodule."),
            ("Pleural Effusion/right/large", f"Heart normal. {EFFUSION}", "See above."),
        )
    )
    assert f"“{EFFUSION}”" in film.caption
    assert sorted(np.unique(film.picture)) == [20, 40]  # of S2, and not its lateral film


def test_without_a_plain_finding_it_is_the_first_study(tmp_path):
    film = example_film(table(tmp_path, ("normal", "Lungs are clear.", f"Normal {'very ' * 40}chest.")))
    quoted = film.caption.split("“")[1]
    assert quoted.startswith("Normal very")
    assert quoted.endswith("very …”")
    assert len(quoted) < 115
    assert sorted(np.unique(film.picture)) == [0, 20]
