"""What `medprobclip COMMAND` runs, one file a command: flags and messages only, the work is done elsewhere.

    run.py           the notebooks, headless
    figures.py       every table and figure
    prepare.py       archives and tables as people have them -> study tables
    calibrate.py     a finished run and a table of studies that chose nothing
    index.py         a study table -> a folder that can be asked
    search.py        a film or words -> ranked answers
    encoder.py       the chest encoder, from invented patients to the committed file

`medprobclip train` is `medprobclip_train.py`, beside this folder. Every file imports what is heavy when it
runs, so that its help starts at once; nothing imports a command.
"""
