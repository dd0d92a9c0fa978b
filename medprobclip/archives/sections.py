"""A whole report -> its sections: by MIMIC-CXR's official rules, or as reports of other tables name them.

The official rules are those by which MIT-LCP/mimic-cxr makes `mimic_cxr_sectioned.csv`; the 54 studies for
which it has exceptions made by hand are cut by the rules here, and are absent there.
"""

from __future__ import annotations

import re

PREAMBLE, LAST_PARAGRAPH = "preamble", "last_paragraph"
# A line start, a space or more, capitals, a colon before white space.
_HEADER = re.compile(r"^ ([A-Z ()/,-]+):(?=\s|\Z)", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_SYNONYMS = {  # section -> other names that it has
    "impression": (
        "conclusion", "findings and impression", "findings/impression", "findings/ impression", "impresson",
        "impresion", "impessions", "imprression", "imoression", "imprssion", "imression", "impreson",
        "opinion", "conclusions",
    ),
    "findings": ("finding", "findins", "findngs", "finidngs", "findigns", "chest, two views"),
    "indication": (
        "reason for exam", "reason for examination", "clinical indication", "reason for the exam",
        "reason for study", "idication", "indications",
    ),
    "history": ("clinical history", "clinical information", "patient history", "medical history", "pfi"),
    "comparison": (
        "comparisons", "comparison exam", "comparison film", "reference exam", "comparision", "comparsion",
        "comparisions", "compared to",
    ),
    "examination": ("exam", "type of examination", "study", "procedure"),
    "recommendations": ("recommendation", "recommendation(s)"),
    "wet read": ("wetread",),
}  # fmt: skip
_NAMED = {name: section for section, names in _SYNONYMS.items() for name in (section, *names)}
_MAIN = ("impression", "findings", "history", "comparison", "addendum")  # also as a part of a header
_OF_VIEWS = re.compile(  # "PA AND LATERAL VIEWS OF THE CHEST:" opens the findings
    r"\bchest|\bportable|\b(?:pa|ap|frontal) and lateral|\blateral and (?:pa|ap|frontal)|\bfrontal and"
    r"|\b(?:one|two|single|frontal|pa|ap|lateral) views?\b|\bradiographs?\b|\bthorax|\bribs?\b|\bbone window"
)
# In reports of other tables: at the start of a line in any case, elsewhere in capitals.
_HEADINGS = (
    r"FINDINGS?|IMPRESSIONS?|CONCLUSIONS?|FINDINGS AND IMPRESSION|COMPARISONS?|INDICATIONS?|TECHNIQUE"
    r"|(?:CLINICAL )?HISTORY|EXAM(?:INATION)?|RECOMMENDATIONS?|ADDENDUM|NOTIFICATION"
)
_ANYWHERE = re.compile(
    rf"^[ \t]*(?i:(?P<line>{_HEADINGS})):|(?<!\w)(?P<inside>{_HEADINGS}):(?=\s|\Z)", re.MULTILINE
)


def section_name(header: str) -> str:
    """What a header means: "CHEST, TWO VIEWS" is findings, "CONCLUSION" impression; unknown ones stay."""
    name = header.lower().strip()
    if name in _NAMED:
        return _NAMED[name]
    part = next((main for main in _MAIN if main in name), None)
    return part or ("findings" if _OF_VIEWS.search(name) else name)


def official_sections(report: str) -> dict[str, str]:
    """Sections of a MIMIC-CXR report by name, stripped, in the order of their last header.

    Text before the first header is the "preamble"; empty sections are left out; the last section of a name
    counts. A report without findings and impression whose last section has a blank line gives what follows
    the first of them as "last_paragraph".
    """
    text = "\n".join(report.splitlines())
    headers = [(m.start(), m.end(), section_name(m[1])) for m in _HEADER.finditer(text) if m[1].strip()]
    found = _between(text, headers)
    if found and not {"findings", "impression"} & {name for name, _ in found}:
        name, last = found[-1]
        first, *rest = _BLANK_LINE.split(last, maxsplit=1)
        if rest and rest[0].strip():
            found[-1:] = [(name, first.strip()), (LAST_PARAGRAPH, rest[0].strip())]
    return _last_of_each(found)


def any_sections(report: str) -> dict[str, str]:
    """Sections of a report of any origin by name, stripped: headers such as "Findings:" at the start of a
    line, "IMPRESSION:" in capitals anywhere. Otherwise as `official_sections`, without last paragraph."""
    headers = [
        (m.start(), m.end(), section_name(m["line"] or m["inside"])) for m in _ANYWHERE.finditer(report)
    ]
    return _last_of_each(_between(report, headers))


def _between(text: str, headers: list[tuple[int, int, str]]) -> list[tuple[str, str]]:
    """Name and text of every section that is not empty, in the order of the report."""
    starts = [(0, 0, PREAMBLE), *headers]
    ends = [start for start, _, _ in headers] + [len(text)]
    cut = [(name, text[begin:end].strip()) for (_, begin, name), end in zip(starts, ends, strict=True)]
    return [(name, section) for name, section in cut if section]


def _last_of_each(found: list[tuple[str, str]]) -> dict[str, str]:
    last: dict[str, str] = {}
    for name, section in found:
        last.pop(name, None)
        last[name] = section
    return last
