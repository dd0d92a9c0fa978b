"""Findings of notebook 05: opposite numbers say the opposite, an interval that holds 0 shows nothing."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.findings.headlines import DETAILS, HEADLINES
from medprobclip.paper.findings.uncertainty import hard_to_see, two_controls

BELOW, ACROSS, ABOVE = (-0.3, -0.1), (-0.1, 0.1), (0.1, 0.3)
UNKNOWN = (np.nan, np.nan)
DIRECTIONS = ("i2t", "t2i")


def curves(half: float, every: float, answered: int = 400) -> pd.DataFrame:
    rows = [
        {"method": "medprobclip", "direction": d, "k": k, "coverage": c, "answered": c * answered,
         "risk": risk}
        for d in DIRECTIONS for k in (1, 10)
        for c, risk in ((0.25, 0.0), (0.5, half), (1.0, every) if k == 10 else (1.0, 1.0))
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("half", "every", "answered", "said"),
    [
        (0.3, 0.6, 400, "lowers it"),
        (0.6, 0.3, 400, "raises it"),
        (0.6, 0.6, 400, "is not shown to change it"),
        (0.3, 0.6, 8, "is not shown to change it"),
    ],
)
def test_what_abstaining_does(half, every, answered, said):
    sentence = HEADLINES["figure_2"](curves(half, every, answered))
    shares = f"{100 * every:.0f} % of all queries, {100 * half:.0f} % of the surest half"
    assert sentence == (
        f"MedProbCLIP: the share without a right answer among the first 10 is from image to text {shares}; "
        f"from text to image {shares}. To answer only the surest half {said} from image to text and text to "
        "image."
    )


def areas(bounds: tuple[float, float], random: float = 0.5) -> pd.DataFrame:
    low, high = bounds
    own = {"method": "medprobclip", "value": 0.4, "low": 0.3, "high": 0.45, "random": random}
    other = own | {"method": "clip", "difference_low": low, "difference_high": high}
    rows = [row | {"direction": d, "k": k} for d in DIRECTIONS for k in (1, 10) for row in (own, other)]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("bounds", "counts"),
    [(BELOW, "1 less and 0 more"), (ABOVE, "0 less and 1 more"), (ACROSS, "0 less and 0 more")],
)
def test_areas_against_other_methods(bounds, counts):
    said = HEADLINES["figure_2_areas"](areas(bounds))
    assert said.endswith(f"Of 1 other methods {counts} is shown for the first, {counts} for the second.")


@pytest.mark.parametrize(("random", "said"), [(0.5, "below"), (0.2, "above"), (0.4, "not told from")])
def test_areas_against_a_random_order(random, said):
    alone = areas(BELOW, random).query("method == 'medprobclip'")
    sentence = HEADLINES["figure_2_areas"](alone)
    assert sentence.count(f"0.400 [0.300, 0.450], {said} the {random:.3f} of a random order") == 2
    assert "other" not in sentence


@pytest.mark.parametrize(
    ("bounds", "said", "none"),
    [(BELOW, "beats", 0), (ABOVE, "does **not** beat", 0), (ACROSS, "does **not** beat", 2),
     (UNKNOWN, "does **not** beat", 2)],
)  # fmt: skip
def test_variance_against_entropy(bounds, said, none):
    low, high = bounds
    rows = [
        {"method": "medprobclip", "direction": d, "k": 10, "confidence": c, "excess": e,
         "less_entropy": 0.027, "less_entropy_low": low, "less_entropy_high": high}
        for d in DIRECTIONS for c, e in (("variance", 0.134), ("entropy", 0.107))
    ]  # fmt: skip
    sentence = HEADLINES["confidences"](pd.DataFrame(rows))
    told = f"the total variance {said} the entropy: excess AURC at R@10 0.134 against 0.107"
    assert sentence.count(told) == 2
    assert sentence.count("no difference shown") == none


@pytest.mark.parametrize(
    ("fitted", "brier", "words"),
    [
        (0.1, 0.2, ("lowers", "to 0.100 (Platt), more than the 0.050", "0.200, is better than")),
        (0.04, 0.2, ("lowers", "to 0.040 (Platt), no more than the 0.050", "0.200, is better than")),
        (0.5, 0.3, ("does not lower", "to 0.500 (Platt), more than", "0.300, is no better than")),
    ],
)
def test_calibration(fitted, brier, words):
    rows = [
        {"method": "medprobclip", "level": "i2t", "calibrator": name, "ace": ace, "ace_bias": 0.05,
         "brier": brier, "brier_constant": 0.24}
        for name, ace in (("before", 0.4), ("platt", fitted), ("isotonic", 0.9))
    ]  # fmt: skip
    sentence = HEADLINES["calibration"](pd.DataFrame(rows))
    assert all(word in sentence for word in words)


def controls(every: tuple[float, float], few: tuple[float, float]) -> pd.DataFrame:
    rows = [{"panel": "rank by variance", "method": "medprobclip", "side": "image"}]  # is no correlation
    for side in ("image", "report"):
        for names, (low, high) in (
            (("sharing", "rank"), every),
            (("sharing_abnormal", "rank_unambiguous"), few),
        ):
            for name in names:
                row = {"method": "medprobclip", "side": side, "property": name, "rho": (low + high) / 2}
                row |= {"rho_low": low, "rho_high": high}
                rows.append(row | {"change": -0.2, "change_low": -0.3, "change_high": -0.1})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("every", "few", "normals", "ambiguity"),
    [
        (ABOVE, ABOVE, "it is not the normal studies alone", "ambiguity does not explain all of it"),
        (BELOW, BELOW, "it is not the normal studies alone", "ambiguity does not explain all of it"),
        (ABOVE, ACROSS, "may be all that it tells apart", "ambiguity may explain all of it"),
        (ABOVE, BELOW, "the normal studies alone make it so", "hides one the other way round"),
        (ACROSS, ABOVE, "the normal studies hid a link", "ambiguity hid a link"),
        (ACROSS, ACROSS, "no ambiguity is shown", "no link that ambiguity could explain"),
    ],
)
def test_both_controls_are_read(every, few, normals, ambiguity):
    verbs = {ABOVE: "rises", BELOW: "falls", ACROSS: "is not shown to change"}
    table = controls(every, few)
    for name, (sharing, rank) in zip(
        ("radiographs", "reports"), np.reshape(list(two_controls(table)), (2, 2)), strict=True
    ):
        start = f"MedProbCLIP, {name}: the total variance {verbs[every]} with the "
        assert sharing.startswith(f"{start}number of studies coded alike, ρ ")
        assert f"; without the normal studies it {verbs[few]}, ρ " in sharing
        assert rank.startswith(f"{start}rank of the right answer, ρ ")
        assert f"; where no other study is coded alike it {verbs[few]}, ρ " in rank
        assert "a change of -0.20 [-0.30, -0.10]: so " in rank
        assert normals in sharing
        assert ambiguity in rank
    said = HEADLINES["uncertainty_and_sharing"](table)
    short = {ABOVE: "it rises", BELOW: "it falls", ACROSS: "no change shown"}[few]
    assert said.count(f"for radiographs {short}, ρ {sum(few) / 2:+.2f}") == 2
    assert said.count(f"(all {sum(every) / 2:+.2f})") == 4
    assert len(said) < 420


def test_too_few_studies_for_a_control_are_said_to_be():
    table = controls(ABOVE, UNKNOWN)
    assert all("too few studies are left" in said for said in two_controls(table))
    assert HEADLINES["uncertainty_and_sharing"](table).count("too few studies are left to say") == 2


def knowledge(seen: tuple[float, float], fault: tuple[float, float]) -> pd.DataFrame:
    rows = []
    for name, (low, high) in {"conspicuity": seen, "severity": fault, "sharing": ABOVE,
                              "sharing_abnormal": UNKNOWN}.items():  # fmt: skip
        row = {"method": "medprobclip", "side": "image", "property": name, "rho": (low + high) / 2}
        row |= {"rho_low": low, "rho_high": high, "partial": 0.3, "partial_low": 0.2, "partial_high": 0.4}
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (BELOW, "it is less sure of radiographs whose findings are harder to see"),
        (ABOVE, "it is *surer* of radiographs whose findings are harder to see"),
        (ACROSS, "it is not shown to know how hard"),
    ],
)
@pytest.mark.parametrize(("fault", "verb"), [(BELOW, "falls"), (ABOVE, "rises"), (ACROSS, "is not shown to")])
def test_what_is_hard_to_see(seen, said, fault, verb):
    table = knowledge(seen, fault)
    (sentence,) = hard_to_see(table, "medprobclip")
    assert sentence.startswith(f"MedProbCLIP: {said}")
    whole = HEADLINES["what_variance_knows"](table)
    assert whole.startswith(sentence)
    assert f"With the severity of a film’s fault the total variance {verb}" in whole
    assert [text for text in DETAILS["what_variance_knows"](table) if text] == [
        sentence
    ]  # nothing of unknowns


def test_nothing_known_is_said_to_be_so():
    assert "too few findings were drawn" in HEADLINES["what_variance_knows"](knowledge(UNKNOWN, ACROSS))
    assert "nothing to correlate" in HEADLINES["what_variance_knows"](knowledge(ABOVE, ABOVE).iloc[:0])


def test_of_films_that_nobody_drew_other_numbers_are_told():
    drawn = knowledge(UNKNOWN, ABOVE)
    own = drawn.assign(property=drawn["property"].replace({"conspicuity": "findings"}))
    own.loc[own["property"] == "findings", ["rho", "rho_low", "rho_high"]] = [0.2, 0.1, 0.3]
    said = HEADLINES["what_variance_knows"](own)
    start = "MedProbCLIP, radiographs: the total variance rises with the number of findings, ρ +0.20"
    assert said.startswith(start)
    assert "drawn" not in said
    bare = own.iloc[:1].assign(property="rank", rho_low=-0.1)
    assert "is not shown to change with the rank" in HEADLINES["what_variance_knows"](bare)
    assert not any(DETAILS["what_variance_knows"](bare))  # nothing of codings


@pytest.mark.parametrize(("least", "said"), [(5, "shorter"), (50, "longer"), (20, "no longer")])
def test_who_is_least_sure(least, said):
    rows = [
        {"method": "clip", "side": side, "end": end, "words": words, "codes": codes}
        for side in ("image", "report")
        for end, words, codes in (("surest", 20, "Nodule"), ("least sure", least, "normal"))
    ]  # fmt: skip
    sentence = HEADLINES["surest_and_least_sure"](pd.DataFrame(rows))
    assert sentence.startswith(
        f"CLIP: the least sure reports are {said} than the surest (median {least} against 20"
    )
    uncoded = HEADLINES["surest_and_least_sure"](pd.DataFrame(rows).drop(columns="codes"))
    assert sentence.startswith(f"{uncoded} ")
    assert sentence.endswith(
        "Normal studies: 1 of the 1 least sure radiographs and 0 of the surest; "
        "1 of the 1 least sure reports and 0 of the surest."
    )


@pytest.mark.parametrize(
    ("word", "place", "said"),
    [
        (
            -0.02,
            -0.5,
            ("“nodule” makes surest (-0.02) and no word makes less sure", "surest film surer (-0.5)"),
        ),
        (0.02, 0.5, ("no word makes surer and “nodule” makes least sure (+0.02)", "film less sure (+0.5)")),
        (0.02, 0.0, ("no word", "neither surer nor less sure (+0)")),
    ],
)
def test_what_makes_sure(word, place, said):
    rows = [
        {"side": "report", "word": "nodule.", "change": word},
        {"side": "report", "word": "a", "change": 0.0},
    ]
    rows += [{"side": "image", "change": place}, {"side": "image", "change": 0.0}]
    table = pd.DataFrame(rows).assign(method="medprobclip", end="surest")
    sentence = HEADLINES["influence_on_variance"](table)
    assert all(part in sentence for part in said)
