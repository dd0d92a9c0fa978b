"""What is said of retrieval is made by its numbers: opposite numbers, opposite words."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.findings.retrieval import (
    HEADLINES,
    below_chance,
    how_to_read,
    hubs_by_direction,
    told_by_experts,
    told_by_labels,
)

BOTH = {"i2t": "image to text", "t2i": "text to image"}


def recall_rows(differences=()) -> pd.DataFrame:
    """R@10 both ways and RSUM of MedProbCLIP; of others the bounds of their difference."""
    rows = []
    for direction, value in (("i2t", 40.0), ("t2i", 30.0)):
        for method, of in {"medprobclip": value, "random": 2.5, "ceiling": 65.0}.items():
            rows.append({"direction": direction, "metric": "R@10", "method": method, "value": of})
    rows.append({"method": "medprobclip", "value": 313.0, "low": 294.0, "high": 332.0})
    for name, (low, high) in zip(("clip", "cxr-clip", "pcme++"), differences, strict=False):
        rows.append({"method": name, "value": 300.0, "difference_low": low, "difference_high": high})
    table = pd.DataFrame(rows)
    return table.fillna({"direction": "both", "metric": "RSUM"}).assign(score="own")


def test_recall_is_told_between_chance_and_ceiling():
    told = HEADLINES["table_1"](recall_rows())
    assert "for 40 % of the films and 30 % of the reports" in told
    assert "a random order 2.5 %, a perfect reader of the films 65 %" in told
    assert told.endswith("RSUM 313 [294, 332].")


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([(5, 9)], "of 1 other methods 1 better (CLIP)."),
        ([(-9, -5)], "of 1 other methods 1 worse (CLIP)."),
        ([(-1, 1)], "of 1 other methods 1 not shown to differ."),
        ([(5, 9), (-9, -5), (-1, 1)], "1 better (CLIP), 1 worse (CXR-CLIP) and 1 not shown to differ."),
        ([(5, 9), (3, 5)], "of 2 other methods 2 better (CLIP, CXR-CLIP)."),
    ],
)
def test_others_are_told_by_the_interval_of_the_difference(differences, said):
    assert HEADLINES["table_1"](recall_rows(differences)).endswith(said)


def many_rows(low: float, high: float) -> pd.DataFrame:
    rows = []
    for direction in BOTH:
        for method, value in {"medprobclip": 40.0, "random": 5.0, "ceiling": 88.0}.items():
            rows.append({"direction": direction, "metric": "mAP@R", "method": method, "value": value})
        share = {"direction": direction, "metric": "plausible share"}
        own = {"method": "medprobclip", "value": (low + high) / 2, "low": low, "high": high}
        rows += [share | own, share | {"method": "random", "value": 15.0}]
    return pd.DataFrame(rows).assign(score="own")


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((20, 30), "more than the 15 %"),
        ((1, 9), "fewer than the 15 %"),
        ((10, 20), "not shown to differ from"),
    ],
)
def test_wrong_first_answers_are_told_against_chance(bounds, said):
    told = HEADLINES["many_to_many"](many_rows(*bounds))
    assert told.count(said) == 2
    assert "where a random order has 5 % and a perfect reader 88 %" in told
    assert "wrong" not in HEADLINES["many_to_many"](many_rows(np.nan, np.nan))  # where no first answer is


def hub_rows(own, less, cosine, spread=0.2) -> pd.DataFrame:
    rows = []
    for direction in BOTH:
        for kind, name, skew in (
            ("method", "medprobclip", own[direction]), ("bank", "medprobclip", less),
            ("score", "cosine", cosine),
        ):  # fmt: skip
            row = {"direction": direction, "kind": kind, "name": name, "skew": skew, "orphans": 10.0}
            rows.append(row | {"skew_least": skew - spread, "skew_most": skew + spread})
    return pd.DataFrame(rows)


def test_hubs_are_told_by_direction():
    table = hub_rows({"i2t": 5.0, "t2i": 1.0}, 0.5, 3.0)
    first, second = hubs_by_direction(table)
    assert first == (
        "Image to text: skew 5.0, more hubs than the cosine of the same Gaussians (3.0); the bank's term "
        "lowers it to 0.5"
    )
    assert "Text to image: skew 1.0, fewer hubs than" in second
    assert HEADLINES["hubs"](table) == f"MedProbCLIP. {first}. {second}."


def test_hubs_within_the_seeds_are_not_shown_to_differ():
    near = {"i2t": 3.1, "t2i": 2.9}
    for said in hubs_by_direction(hub_rows(near, 4.0, 3.0)):
        assert "not shown to differ in hubs from" in said
        assert said.endswith("raises it to 4.0")
    alone = hubs_by_direction(hub_rows(near, 3.1, 3.0, spread=0.0))
    assert (
        "more hubs than the cosine of the same Gaussians (3.0, in one seed); the bank's term leaves"
        in alone[0]
    )
    assert "fewer hubs than" in alone[1]


def finding_rows(**areas) -> pd.DataFrame:
    rows = [
        {
            "finding": name.replace("_", " "),
            "method": "medprobclip",
            "value": np.mean(of),
            "low": of[0],
            "high": of[1],
        }
        for name, of in {"Mean": (0.8, 0.9), **areas, "No_Finding": (0.3, 0.4)}.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("areas", "said"),
    [
        ({"Edema": (0.6, 0.8)}, "Each finding is above a coin."),
        ({"Edema": (0.4, 0.7)}, "Not shown to be better than a coin: Edema 0.55."),
        ({"Edema": (0.2, 0.4)}, "Worse than a coin: Edema 0.30."),
        (
            {"Edema": (0.2, 0.4), "Fracture": (0.4, 0.8)},
            "Worse than a coin: Edema 0.30; not shown to be better than a coin: Fracture 0.60.",
        ),
    ],
)
def test_findings_are_told_against_a_coin(areas, said):
    told = HEADLINES["table_2"](finding_rows(**areas))
    assert "a mean AUROC of 0.85 [0.80, 0.90]" in told
    assert told.endswith(said)


def test_only_the_first_findings_are_named():
    told = HEADLINES["table_2"](finding_rows(**{f"F{i}": (0.1, 0.3) for i in range(7)}))
    assert "F3 0.20 and 3 more." in told


def test_what_is_below_chance_is_named_with_what_its_interval_says():
    recall, many = recall_rows().assign(low=0.0, high=50.0), many_rows(20, 30)
    fine = finding_rows(Edema=(0.6, 0.8)).iloc[:2]
    assert below_chance(recall, many, fine) == ["Nothing stands below chance."]
    (doubtful,) = below_chance(recall, many_rows(10, 18), fine)
    assert doubtful.startswith("Below chance, with an interval that holds chance, so that nothing is shown")
    assert "MedProbCLIP, image to text, plausible share 14.0" in doubtful
    surely, doubtful = below_chance(recall, many_rows(1, 9), finding_rows(Edema=(0.4, 0.55)).iloc[:2])
    assert surely.startswith(
        "Below chance, with the whole interval: MedProbCLIP, image to text, plausible share 5.0"
    )
    assert "Edema 0.48 [0.40, 0.55]" in doubtful


def test_one_method_and_one_seed_are_read_without_what_is_absent():
    alone, several = how_to_read(1, 1), how_to_read(3, 3)
    assert "hollow" not in alone
    assert "another training" in alone
    assert "hollow" in several
    assert "another seed" in several
    assert "one seed" not in several


def test_without_the_simulator_nothing_is_said_of_a_ceiling():
    recall, many = (
        table[table["method"] != "ceiling"] for table in (recall_rows([(5, 9)]), many_rows(20, 30))
    )
    assert "30 % of the reports; a random order 2.5 %. RSUM 313" in HEADLINES["table_1"](recall)
    assert "where a random order has 5 %. Of its wrong" in HEADLINES["many_to_many"](many)
    assert how_to_read(1, 1, ceiling=False).endswith("the frame is chance.")
    assert how_to_read(1, 1).endswith("the frame is chance and ceiling.")


def test_nothing_is_said_of_tables_that_stepped_aside():
    recall = recall_rows().assign(low=0.0, high=50.0)
    assert below_chance(recall, None, None) == ["Nothing stands below chance."]
    low = recall.assign(value=1.0, high=2.0).replace({"random": "other"})
    low.loc[low["method"] == "other", ["method", "value"]] = "random", 2.5
    (surely,) = below_chance(low, None, None)
    assert "image to text, R@10 1.0" in surely


def test_who_coded_is_told():
    codes = [("Edema", "Pneumonia/uncertain"), ("Edema/uncertain", "Fracture/uncertain"), ("normal",), ()]
    labels = told_by_labels(codes)
    assert labels.startswith("3 of 4 test studies are coded. 3 of their 39 labels")
    assert "in 2 studies, are uncertain and left out" in labels
    assert "a program that read the reports" in labels
    experts = told_by_experts([("Scoliosis",), ("normal",), ("No Indexing",), ("Pneumonia",)])
    assert experts.splitlines()[0] == "3 of 4 test studies are coded."
    assert experts.splitlines()[1].startswith("1 of them count as No Finding although")
