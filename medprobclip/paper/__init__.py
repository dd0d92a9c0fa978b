"""Everything that the paper shows, from the runs to the pictures.

Each imports only from those above it:

    tables/            which runs there are, and what is computed from them
    promises.py        what the figures of promises say, in computed sentences
    verdicts.py        what the figures of doubt say, in computed sentences
    figures/           tables -> pictures -> figures/README.md
    chest_encoder.py   the chest encoder: rendered, taught, examined; a command
    reproduce.py       everything of the paper, a command
"""
