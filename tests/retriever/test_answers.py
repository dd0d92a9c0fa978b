"""What one gets: prints on a terminal, in a notebook, and as JSON."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medprobclip.retriever.answers import Answers
from medprobclip.retriever.promises import FILM, PHRASE, Kind


@pytest.fixture
def answers():
    table = pd.DataFrame(
        {
            "rank": np.arange(1, 3),
            "study_id": ["a<b>", "c"],
            "score": [1.234, -5.0],
            "probability": [0.5, 0.0123],
            "in_set": np.array([True, False]),
            "text": ["No <effusion>.", "x" * 61],
        }
    )
    return Answers(table, Kind(FILM), 400, 0.1, 317, 83.4, 0.0512, False, "", "The set holds it & more.")


def test_on_a_terminal(answers):
    heading, first, second, empty, doubts, promise = str(answers).splitlines()
    assert heading.split() == ["rank", "study_id", "score", "probability", "in_set", "text"]
    assert first.split() == ["1", "a<b>", "1.23", "50.0%", "yes", "No", "<effusion>."]
    assert second.split() == ["2", "c", "-5.00", "1.2%", "no", "x" * 59 + "…"]
    assert empty == ""
    assert doubts == (
        "317 of 400 reports in the set at 90%; more ambiguous than 83 % of the calibration films; "
        "strangeness p = 0.051 among the calibration films"
    )
    assert promise == "The set holds it & more."
    assert repr(answers) == str(answers)
    refused = replace(answers, abstain=True, reason="317 reports may fit")
    assert str(refused) == f"Better not answered: 317 reports may fit.\n\n{answers}"


def test_in_a_notebook(answers):
    page = replace(answers, abstain=True, reason="1 < 2")._repr_html_()
    assert page.startswith("<p><b>Better not answered: 1 &lt; 2.</b></p><table")
    for text in ("a&lt;b&gt;", "No &lt;effusion&gt;.", "<td>50.0%</td>", "<td>1.23</td>", "<td>yes</td>"):
        assert text in page
    assert "317 of 400 reports in the set at 90%" in page
    assert page.endswith("The set holds it &amp; more.</p>")
    assert "Better" not in answers._repr_html_()


def test_what_is_unknown_is_said_so(answers):
    phrase = replace(answers, kind=Kind(PHRASE, 2), ambiguity=None, p_strange=None, alpha=0.005)
    assert phrase.doubts == "317 of 400 films in the set at 99.5%; strangeness unknown"


def test_as_json(answers):
    found = json.loads(json.dumps(answers.to_dict(), allow_nan=False))
    assert found == {
        "query": "radiograph", "abstain": False, "reason": "", "alpha": 0.1, "set_size": 317, "studies": 400,
        "ambiguity_percentile": 83.4, "p_strange": 0.0512, "promise": "The set holds it & more.",
        "answers": [
            {"rank": 1, "study_id": "a<b>", "score": 1.234, "probability": 0.5, "in_set": True,
             "text": "No <effusion>."},
            {"rank": 2, "study_id": "c", "score": -5.0, "probability": 0.0123, "in_set": False,
             "text": "x" * 61},
        ],
    }  # fmt: skip


def test_printing_changes_nothing(answers):
    before = answers.table.copy()
    str(answers), answers._repr_html_(), answers.to_dict()
    pd.testing.assert_frame_equal(answers.table, before)
    assert len(answers) == 2
