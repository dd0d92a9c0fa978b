"""The studies that notebook 01 looks at: all of somebody's own, or a sample that is said to be one."""

import pandas as pd
import pytest

from medprobclip.workbench.corpus import Corpus


@pytest.fixture
def corpus(tmp_path):
    """Four tables of three studies; only those of the test table are coded."""
    paths = {}
    for split in ("train", "calibrate", "validate", "test"):
        ids = [f"{split}{i}" for i in range(3)]
        for name in ids:
            (tmp_path / f"{name}.png").touch()
        table = pd.DataFrame({"study_id": ids, "image_paths": [f"{i}.png" for i in ids], "view_names": "PA"})
        table = table.assign(findings="Clear.", impression="Normal.")
        paths[split] = tmp_path / f"{split}.csv"
        (table.assign(codes="normal") if split == "test" else table).to_csv(paths[split], index=False)
    return Corpus(**paths, coding="experts")


def test_few_studies_are_looked_at_all(corpus):
    studies = corpus.studies()
    assert studies["split"].value_counts().to_dict() == dict.fromkeys(studies["split"].unique(), 3)
    assert corpus.looked_at(studies) == ""
    assert studies["codes"].tolist() == [()] * 9 + [("normal",)] * 3  # a table without codes is not coded


def test_of_many_studies_some_are_drawn_and_it_is_said(corpus):
    studies = corpus.studies(most=5)
    assert studies["study_id"].is_unique
    assert len(studies) == 5
    assert corpus.looked_at(studies) == "Looked at here: 5 of 12 studies, drawn at random with a fixed seed."
    pd.testing.assert_frame_equal(studies, corpus.studies(most=5))
