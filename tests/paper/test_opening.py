"""The report opens with what this very run found, and with a film that somebody can read."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medprobclip.paper.findings.readme import NEEDED
from medprobclip.paper.opening import conclusion, example_film, introduction, made_of
from medprobclip.training.profiles import get_profile
from medprobclip.workbench.corpus import EXPERTS, LABELS, Corpus
from medprobclip.workbench.workspace import ROOT

EFFUSION = "Large right pleural effusion."


def demo(tmp_path) -> Corpus:
    """As the demo's: all four parts are `test.csv`."""
    return Corpus(*[tmp_path / "test.csv"] * 4, coding=EXPERTS, simulated=tmp_path)


def own(tmp_path, coding: str | None, shows_text: bool = False) -> Corpus:
    return Corpus(*[tmp_path / "test.csv"] * 4, coding=coding, shows_text=shows_text)


def table(tmp_path, *rows, columns=("codes", "findings", "impression")) -> Corpus:
    """A study table with two pictures a study, the lateral one first; frontal pictures differ."""
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
    return demo(tmp_path)


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


def test_of_ones_own_tables_it_says_what_there_is(tmp_path):
    assert conclusion(tmp_path, simulated=False) == []
    for name in ("table_1", "robustness"):
        shutil.copy(ROOT / "figures" / f"{name}.csv", tmp_path)
    said = conclusion(tmp_path, simulated=False)
    assert len(said) == 3
    assert not any("one CT" in sentence or "perfect reader" in sentence for sentence in said)


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


LABELLED = ("Pleural Effusion/uncertain", "Edema")
ROWS = (
    (LABELLED, "Perhaps an effusion.", "Edema."),
    (("Pleural Effusion", "Support Devices"), f"Port. {EFFUSION}", "See above."),
)


def test_of_ones_own_study_codes_are_said_and_words_of_its_report_when_asked_for(tmp_path):
    """What may be there, by a label, is no plain finding."""
    table(tmp_path, *((repr(list(codes)), *texts) for codes, *texts in ROWS))
    film = example_film(own(tmp_path, LABELS))
    assert film.caption == "Study S1, coded Pleural Effusion, Support Devices"
    assert sorted(np.unique(film.picture)) == [10, 30]
    said = example_film(own(tmp_path, LABELS, shows_text=True)).caption
    assert said == f"Study S1, whose report says: “{EFFUSION}”"


def test_without_a_coding_it_is_the_first_study(tmp_path):
    table(tmp_path, ("Lungs clear.", "Normal."), columns=("findings", "impression"))
    assert example_film(own(tmp_path, None)).caption == "Study S0; nobody coded it"


def test_a_large_film_is_shown_small(tmp_path):
    """As a page holds it; a grey level is a mean over the pixels that it stands for."""
    table(tmp_path, ("Lungs clear.", "Normal."), columns=("findings", "impression"))
    large = np.zeros((1024, 2048), np.uint8)
    large[:, ::2] = 100
    large[:8] = 200
    Image.fromarray(large).save(tmp_path / "S0_pa.png")
    picture = example_film(own(tmp_path, None)).picture
    assert picture.shape == (256, 512)
    assert (np.unique(picture[:2]), np.unique(picture[2:])) == (200, 50)


def test_the_head_says_whose_studies_they_are(tmp_path):
    """What is true of the demo's only is said of the demo's only."""
    corpora = [
        table(tmp_path, ("normal", "Clear.", "Normal.")),
        own(tmp_path, None),
        own(tmp_path, None, True),
    ]
    demos, hidden, shown = (introduction(c) + made_of(c, get_profile("demo")) for c in corpora)
    for words in ("no number says", "real OpenI reports, radiographs simulated", "study of this corpus"):
        assert (words in demos, words in hidden, words in shown) == (True, False, False), words
    counts = "Studies: 1 to train, 1 to calibrate, 1 to validate, 1 to test."
    for words in ("those only who may see", counts, "Nobody coded them", str(tmp_path)):
        assert (words in demos, words in hidden, words in shown) == (False, True, True), words
    assert "no text of reports" in hidden
    assert "sentences of reports" in shown


@pytest.mark.parametrize(
    ("profile", "start"),
    [
        ("smoke", "start from nothing"),
        ("laptop", "taught to name findings"),
        ("paper", "google/vit-base-patch16-224 and microsoft/BiomedNLP"),
    ],
)
def test_the_head_says_what_the_encoders_knew(tmp_path, profile, start):
    table(tmp_path, ("normal", "Clear.", "Normal."))
    assert start in made_of(own(tmp_path, EXPERTS), get_profile(profile))
