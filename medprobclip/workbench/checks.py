"""Exercises of the notebooks: `check("00.1", answer)` says whether it is right, or gives a hint."""

from __future__ import annotations

from collections.abc import Callable

from medprobclip.workbench.exercises import (
    data,
    gaussians,
    model,
    questions,
    retrieval,
    robustness,
    scaling,
    training,
    uncertainty,
)

RIGHT = "Right."
OPEN = "No answer yet: put yours in place of None and run the cell again."
Judge = Callable[[object], str]  # an answer -> a hint; "" if it is right
_CHAPTERS = (gaussians, data, model, training, retrieval, uncertainty, questions, scaling, robustness)
EXERCISES: dict[str, Judge] = {
    name: judge for chapter in _CHAPTERS for name, judge in chapter.EXERCISES.items()
}


def check(exercise: str, answer: object) -> None:
    """Print whether the answer is right, or a hint; never the answer itself.

    None is an answer not yet given. An answer that cannot be used (a text for a number) gets a hint, too.
    Raises KeyError for an unknown exercise.
    """
    judge = EXERCISES[exercise]
    if answer is None:
        print(OPEN)
        return
    try:
        print(judge(answer) or RIGHT)
    except Exception as error:  # whatever a learner's function raises belongs to the hint
        print(f"That cannot be used: {type(error).__name__}: {error}")
