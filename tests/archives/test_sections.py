"""Reports cut into sections: official rules by hand-made examples, and any text at all."""

import pytest
from archived import mimic_report
from hypothesis import given, strategies as st

from medprobclip.archives.sections import any_sections, official_sections, section_name

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 
 INDICATION:  ___F with cough  // acute: process?
 
 FINDINGS: 
 
 Heart size is normal.  NOTE: not a header.
 Right PICC tip at 14:30 unchanged.
 
 IMPRESSION: 
 
 1. No pneumonia.
 2. Unchanged line.
"""


def test_a_report_is_cut_at_its_headers():
    assert official_sections(REPORT) == {
        "preamble": "FINAL REPORT",
        "examination": "CHEST (PA AND LAT)",
        "indication": "___F with cough  // acute: process?",
        "findings": "Heart size is normal.  NOTE: not a header.\n Right PICC tip at 14:30 unchanged.",
        "impression": "1. No pneumonia.\n 2. Unchanged line.",
    }
    assert official_sections(REPORT.replace("\n", "\r\n")) == official_sections(REPORT)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("IMPRESSION", "impression"), ("CONCLUSION", "impression"), ("FINDINGS AND IMPRESSION", "impression"),
        ("ADDENDUM TO IMPRESSION", "impression"), ("CHEST, TWO VIEWS", "findings"), ("FINDING", "findings"),
        ("PA AND LATERAL VIEWS OF THE CHEST", "findings"), ("PORTABLE AP CHEST RADIOGRAPH", "findings"),
        ("REASON FOR EXAM", "indication"), ("CLINICAL HISTORY", "history"), ("PAST HISTORY", "history"),
        ("COMPARISONS", "comparison"), ("COMPARISON STUDIES", "comparison"), ("ADDENDUM", "addendum"),
        ("RECOMMENDATION(S)", "recommendations"), ("TECHNIQUE", "technique"), ("WET READ", "wet read"),
        ("DOSE", "dose"),
    ],
)  # fmt: skip
def test_names_of_headers(header, name):
    assert section_name(header) == name
    assert official_sections(f" X-X:  a\n {header}:  b\n") == {"x-x": "a", name: "b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" \n\n ", {}),
        ("words only", {"preamble": "words only"}),
        (" FINDINGS:  a\n IMPRESSION:  b\n FINDINGS:  c\n", {"impression": "b", "findings": "c"}),  # the last
        (" FINDINGS:  a\n FINDINGS:\n \n IMPRESSION: b", {"findings": "a", "impression": "b"}),  # empty ones
        ("FINDINGS: a\n  IMPRESSION: b\n", {"preamble": "FINDINGS: a", "impression": "b"}),  # no space first
        (" FINDINGS: a\n  : b\n", {"findings": "a\n  : b"}),
        (" FINDINGS:a\n Findings: b\n", {"preamble": "FINDINGS:a\n Findings: b"}),
        (" HISTORY: a\n \n b\n \n c\n", {"history": "a", "last_paragraph": "b\n \n c"}),
        ("a\n\nb", {"preamble": "a", "last_paragraph": "b"}),
        (" HISTORY: a\n b\n", {"history": "a\n b"}),
        (" IMPRESSION: a\n \n b\n", {"impression": "a\n \n b"}),
        (" HISTORY: a\n \n b\n COMPARISON: c\n", {"history": "a\n \n b", "comparison": "c"}),
    ],
)
def test_official_rules_at_their_edges(text, expected):
    found = official_sections(text)
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Findings: Clear.\nImpression: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("FINDINGS: Clear. IMPRESSION: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        (
            "Cough. INDICATION: x\n  Conclusion:  y",
            {"preamble": "Cough.", "indication": "x", "impression": "y"},
        ),
        ("The impression: is not a header", {"preamble": "The impression: is not a header"}),
        ("FINDINGS AND IMPRESSION: z", {"impression": "z"}),
        ("Impressions:a", {"impression": "a"}),
    ],
)
def test_reports_of_other_tables(text, expected):
    assert any_sections(text) == expected


HEADERS = st.sampled_from([
    " FINDINGS:", " IMPRESSION: ", "\n", "\n \n", " ", "FINDINGS:", " COMPARISON:\n", "A-B:", "\r\n", ":",
    " CHEST, TWO VIEWS:", "Impression:", "no effusion", "ſ", "İ:", "\0", "\x1c", "\x85",
])  # fmt: skip
TEXT = st.lists(st.one_of(st.text(max_size=6), HEADERS), max_size=10).map("".join)


@given(TEXT)
def test_any_text_gives_pieces_of_itself_in_its_order(text):
    words = "".join(text.split())
    for cut in (official_sections, any_sections):
        found, end = cut(text), 0
        for name, section in found.items():
            assert name
            assert section == section.strip() != ""
            piece = "".join(section.split())
            assert (end := words.find(piece, end) + len(piece)) >= len(piece), name


@given(st.text("abc .\n", min_size=1, max_size=60), st.text("abc .\n", min_size=1, max_size=60))
def test_what_was_put_in_comes_out(findings, impression):
    found = official_sections(mimic_report(findings, impression))
    for name, text in (("findings", findings), ("impression", impression)):
        assert found.get(name, "").split() == text.split()
    assert found["comparison"] == "None."


def test_long_lines_take_no_long_time():
    """Linear: a quadratic reader would need minutes here."""
    for text in (" " + "A " * 100_000, " A:" * 60_000, "\n " * 100_000, " FINDINGS" * 30_000):
        official_sections(text)
        any_sections(text)
