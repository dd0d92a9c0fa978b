"""How each kind of finding is drawn into the chest.

Each imports only from those above it:

    edits.py          soft-edged changes of a volume
    diffuse.py        drawing what pervades the lungs
    focal.py          drawing what sits in one place of the lungs
    around_lungs.py   heart, vessels, pleura and diaphragm
    bones.py          spine and ribs
    devices.py        catheters, pacemakers, wires
"""
