"""What is said of training is made by its numbers: opposite numbers, opposite words."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.findings.training import HEADLINES, said_of_terms


def history(rsum, loss=(5.0, 4.0, 3.0)) -> pd.DataFrame:
    epochs = np.arange(len(rsum)) + 1
    recalls = {"val_R@10_i2t": 10.0 * epochs, "val_R@10_t2i": 5.0 * epochs}
    return pd.DataFrame({"epoch": epochs, "loss": loss, "val_rsum": rsum, **recalls})


@pytest.mark.parametrize(
    ("rsum", "loss", "said"),
    [
        (
            (100, 200, 150),
            (5, 4, 3),
            "After it the loss still fell, from 4.00 to 3.00, but RSUM did not rise",
        ),
        (
            (100, 200, 150),
            (5, 4, 4.5),
            "After it the loss did not fall any more, and RSUM did not rise again",
        ),
        ((100, 200, 300), (5, 4, 3), "It was the last one: more epochs might still have helped."),
    ],
)
def test_curves_are_told_by_the_epoch_that_was_chosen(rsum, loss, said):
    told = HEADLINES["training_curves"](history(rsum, loss))
    best = int(np.argmax(rsum)) + 1
    assert told.startswith(f"Validation chose epoch {best} of 3, with R@10 of {10 * best} %")
    assert f"{5 * best} % the other way" in told
    assert said in told
    assert ("200 then, 150 at the end" in told) == (best == 2)


def terms(**ends) -> pd.DataFrame:
    return pd.DataFrame({name: values for name, values in ends.items()})


def test_terms_are_told_against_indifference_and_each_other():
    every = terms(
        loss=[6.0, 2.0],
        image_text=[4.0, 2.0],
        image_image=[1.9, 0.19],
        kl_image=[0.1, 0.15],
        kl_text=[0, 0.05],
    )
    first, second, third = said_of_terms(every, 4.16)
    assert "4.00 in the mean of the first epoch, below the 4.16" in first
    assert second.startswith(
        "Image–image fell by 90 %, image–text fell by 50 %: two views of a patient are matched"
    )
    assert third == "The KL terms grew in training and are 10 % of the loss at its end."
    turned = every.assign(image_image=[1.0, 1.2], kl_image=[0.5, 0.1])
    first, second, third = said_of_terms(turned, 3.5)
    assert "above the 3.50" in first
    assert second.startswith("Image–image rose by 20 %, image–text fell by 50 %")
    assert "not matched sooner" in second
    assert "did not grow" in third
    assert len(said_of_terms(every[["loss", "image_text"]], 4.16)) == 1  # CLIP has no other terms


def scored(before: np.ndarray, after: np.ndarray) -> pd.DataFrame:
    rows = [
        {"stage": stage, "film": f"s{i}", "report": f"s{j}", "coded": "x", "score": matrix[i, j]}
        for stage, matrix in {"before": before, "after": after}.items()
        for i in range(len(matrix))
        for j in range(len(matrix))
    ]
    return pd.DataFrame(rows)


def test_similarity_is_told_by_first_places_and_stripes():
    stripes = np.add.outer([5.0, 1.0, 0.0], [0.0, 0.5, 3.0])  # every film finds the third report first
    told = HEADLINES["trained_similarity"](scored(stripes, np.eye(3)))
    assert "Of 3 films, 3 have their own report first after training, more than the 1 before it" in told
    assert "are 100 % of the spread before training and only 0 % after." in told
    told = HEADLINES["trained_similarity"](scored(np.eye(3), stripes))
    assert "1 have their own report first after training, fewer than the 3" in told
    assert "are 0 % of the spread before training and 100 % after." in told
    assert "as many as the 1" in HEADLINES["trained_similarity"](scored(stripes, stripes))


def test_readability_names_what_is_hard():
    table = pd.DataFrame(
        {"kind": ["a", "b", "c"], "both": [0.9, 0.6, np.nan], "verdict": ["readable", "small", "–"]}
    )
    told = HEADLINES["readability"](table)
    assert "can tell 1 of 2 kinds of finding" in told
    assert told.endswith("(median AUROC 0.75). Hard: b (0.60, small).")
    assert HEADLINES["readability"](table.iloc[:1]).endswith("None is hard.")
    many = pd.concat([table.iloc[[1]]] * 5)
    assert "The hardest: b (0.60, small), b" in HEADLINES["readability"](many)
