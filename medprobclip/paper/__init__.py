"""Everything that the paper shows, from the runs to the pictures.

Each imports only from those above it:

    tables/            which runs there are, and what is computed from them
    findings/          tables -> what they show, in computed sentences
    figures/           tables -> pictures -> figures/README.md
    chest_encoder.py   the chest encoder: rendered, taught, examined; a command
    course.py          the course in tables: notebooks, and figures for slides
    opening.py         the first screen of the report: what was found, a film, whose studies
    pages.py           figures/README.md, and what the other pages say of figures and notebooks
    reproduce.py       everything of the paper, a command
"""
