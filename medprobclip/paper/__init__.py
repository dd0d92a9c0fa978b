"""Everything that the paper shows, from the runs to the pictures.

Each imports only from those above it:

    tables/          which runs there are, and what is computed from them
    figures/         tables -> pictures -> figures/README.md
    classifier.py    a small network that names what it sees
    readability.py   can a small network see what was drawn? a command
    reproduce.py     everything of the paper, a command
"""
