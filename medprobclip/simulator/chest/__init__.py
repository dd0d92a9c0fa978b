"""The chest that every simulated patient starts from.

Each imports only from those above it:

    anatomy.py       the prepared chest: attenuation, labels, lungs, landmarks
    landmarks.py     named places in the chest
    preparation.py   the labelled CT, prepared as the volume every patient starts from
    deformation.py   from that volume to one patient
"""
