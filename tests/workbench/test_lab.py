"""What the browser test moves; tests/paper/test_reproduce.py moves it, on trained runs.

Screenshots stay in pytest's folder; MEDPROBCLIP_SCREENSHOTS=runs/screenshots keeps them there instead.
"""

from lab import moved_names


def test_the_names_of_what_moves_are_read_from_the_code():
    cells = [
        "x = 1\nexplore(draw, states, True, far=[1, 2], study=Choice(a))",
        "explore(f, s, False, 1, b=c)",
    ]
    assert moved_names(cells) == ["far", "study", "b"]
