"""Texts that no chest report is like: what a model meets when the wrong thing is pasted in.

Those made from the reports themselves are there to choose by, on validation studies. Those written for this
file are held back for the evaluation, as the faults of films in `corruptions.py` are: nothing is chosen by
them. All sentences are ours.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medprobclip.data.reports import sentences

Make = Callable[[Sequence[str], Sequence[np.random.Generator]], list[str]]


@dataclass(frozen=True)
class OddText:
    """One kind: its name in figures, whether it ought to be told from reports, why, and what it does.

    `held_back` kinds are for the evaluation alone. `make(texts, rngs)` takes N texts and a generator for each
    of them, and gives N texts.
    """

    label: str
    held_back: bool
    detectable: bool
    why: str
    make: Make


def odd_texts(name: str, texts: Sequence[str], seed: int = 0) -> list[str]:
    """One odd text for each of the given ones, N -> N.

    What is drawn for a text depends on the name, the seed and the text's place alone. Kinds made from the
    reports keep each text's number of words; "random_words" draws from the words of all given texts.

    Args:
        name: a key of `ODD_TEXTS`.
        texts: report sections.
        seed: of all that is drawn.

    Raises ValueError for an unknown name.
    """
    if name not in ODD_TEXTS:
        raise ValueError(f"unknown kind of odd text {name!r}. Use one of: {', '.join(ODD_TEXTS)}")
    return ODD_TEXTS[name].make(texts, [_rng(name, seed, place) for place in range(len(texts))])


def _rng(name: str, seed: int, place: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{name}/{seed}/{place}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _scrambled_letters(texts: Sequence[str], rngs: Sequence[np.random.Generator]) -> list[str]:
    def scrambled(text: str, rng: np.random.Generator) -> str:
        return re.sub(r"[^\W\d_]+", lambda word: "".join(rng.permutation(list(word[0]))), text)

    return [scrambled(text, rng) for text, rng in zip(texts, rngs, strict=True)]


def _random_words(texts: Sequence[str], rngs: Sequence[np.random.Generator]) -> list[str]:
    """Frequent words are drawn often, as they stand in the texts, punctuation and all."""
    words = [word for text in texts for word in text.split()]
    return [
        " ".join(words[i] for i in rng.integers(len(words), size=len(text.split()))) if text.split() else ""
        for text, rng in zip(texts, rngs, strict=True)
    ]


def _shuffled_words(texts: Sequence[str], rngs: Sequence[np.random.Generator]) -> list[str]:
    return [" ".join(rng.permutation(text.split())) for text, rng in zip(texts, rngs, strict=True)]


def _keyboard(texts: Sequence[str], rngs: Sequence[np.random.Generator]) -> list[str]:
    def word(rng: np.random.Generator) -> str:
        return "".join(rng.choice(list(string.ascii_lowercase), rng.integers(2, 10)))

    return [
        " ".join(word(rng) for _ in text.split()) or word(rng) for text, rng in zip(texts, rngs, strict=True)
    ]


def _from(pools: Sequence[str]) -> Make:
    """Two to four sentences of one pool, none twice."""
    split = [sentences(pool) for pool in pools]

    def make(texts: Sequence[str], rngs: Sequence[np.random.Generator]) -> list[str]:
        made = []
        for rng in rngs:
            pool = split[rng.integers(len(split))]
            made.append(" ".join(rng.choice(pool, rng.integers(2, 5), replace=False)))
        return made

    return make


def _phrase(texts: Sequence[str], rngs: Sequence[np.random.Generator]) -> list[str]:
    return [PHRASES[rng.integers(len(PHRASES))] for rng in rngs]


LANGUAGES = {
    "German": """
        Das Herz ist normal groß. Die Lungen sind frei belüftet. Kein Nachweis eines Pleuraergusses.
        Kein Anhalt für einen Pneumothorax. Das Mediastinum ist mittelständig und nicht verbreitert.
        Links basal findet sich eine flaue Verschattung. Die Zwerchfelle sind glatt begrenzt.
        Geringer Erguss im rechten Randwinkel. Degenerative Veränderungen der Brustwirbelsäule.
        Zentraler Venenkatheter mit Spitze in der oberen Hohlvene. Verkalkung des Aortenbogens.
        Im Vergleich zur Voraufnahme unverändert. Keine Stauungszeichen. Überblähte Lungen bei Emphysem.
        Alter Rippenbruch auf der linken Seite. Die Lungenhili sind unauffällig.
        """,
    "Spanish": """
        El corazón es de tamaño normal. Los pulmones están bien expandidos. No se observa derrame pleural.
        No hay signos de neumotórax. El mediastino está centrado y sin ensanchamiento.
        Opacidad mal definida en la base izquierda. Los diafragmas tienen contornos nítidos.
        Pequeño derrame en el seno costofrénico derecho. Cambios degenerativos de la columna dorsal.
        Catéter venoso con la punta en la vena cava superior. Calcificación del cayado aórtico.
        Sin cambios respecto al estudio previo. Ausencia de signos de insuficiencia cardíaca.
        Hiperinsuflación pulmonar compatible con enfisema. Fractura antigua de una costilla izquierda.
        Los hilios pulmonares son normales. Granuloma calcificado en el lóbulo superior.
        """,
    "French": """
        Le cœur est de taille normale. Les poumons sont bien aérés. Absence d'épanchement pleural.
        Pas de pneumothorax visible. Le médiastin est en place et n'est pas élargi.
        Opacité mal limitée de la base gauche. Les coupoles diaphragmatiques sont bien dessinées.
        Petit épanchement du cul-de-sac droit. Discopathies étagées du rachis dorsal.
        Cathéter veineux dont l'extrémité se projette dans la veine cave. Calcifications aortiques.
        Aspect inchangé par rapport au cliché précédent. Pas de signe de surcharge vasculaire.
        Distension thoracique évoquant un emphysème. Fracture ancienne d'une côte gauche.
        Les hiles pulmonaires sont sans particularité. Granulome calcifié du lobe supérieur.
        """,
}
BODY_PARTS = {
    "knee": """
        There is a moderate suprapatellar joint effusion. The anterior cruciate ligament is intact.
        Horizontal tear of the posterior horn of the medial meniscus. No fracture of the tibial plateau.
        Cartilage loss in the patellofemoral compartment.
        """,
    "brain": """
        No acute infarct on diffusion weighted images. The ventricles and sulci are normal for age.
        Scattered white matter hyperintensities of the frontal lobes. No intracranial hemorrhage.
        The pituitary gland and the optic chiasm are unremarkable.
        """,
    "abdomen": """
        The liver is enlarged with diffuse fatty infiltration. Several gallstones without wall thickening.
        Simple cyst of the lower pole of the left kidney. The appendix is not dilated.
        The pancreas and the spleen enhance homogeneously.
        """,
    "spine": """
        Disc protrusion at L4-L5 with narrowing of the neural foramen. The conus medullaris ends at L1.
        Grade one anterolisthesis of L5 on S1. No compression of the cauda equina.
        Mild facet arthropathy of the lumbar segments.
        """,
    "hand": """
        Oblique fracture of the fifth metacarpal neck. The scaphoid is intact.
        Joint space narrowing of the distal interphalangeal joints. No erosions of the carpal bones.
        Soft tissue swelling around the thumb.
        """,
    "breast": """
        The breasts are heterogeneously dense. No suspicious cluster of microcalcifications.
        Oval circumscribed mass in the upper outer quadrant. Recommend targeted ultrasound of the axilla.
        The nipple and the skin are not retracted.
        """,
}
PROSE = """
    The weather was fine and we walked along the river until the evening. Please send the invoice by Monday.
    My grandmother bakes her bread with rye flour. The train to the coast was forty minutes late again.
    He bought two tickets for the concert in the park. Our neighbours have painted their fence bright green.
    She learned to play the violin when she was nine. The museum opens its doors at ten on Sundays.
    They could not agree on where to spend the summer. A cat slept on the warm bonnet of the car.
    Remember to water the tomatoes while I am away. The film was far too long but the music was lovely.
    He lost his keys somewhere between the office and the bakery. The children built a raft from old barrels.
    Prices of coffee have risen for the third year. We met at a wedding in a small village by the lake.
    The second half of the match was played in heavy rain. You should try the soup before adding more salt.
    Her new novel tells of three sisters and a lighthouse. The meeting has been moved to Thursday afternoon.
    I forgot my umbrella on the bus.
    """
PHRASES = (
    "right pleural effusion",
    "pleural effusion",
    "cardiomegaly",
    "pneumothorax",
    "left lower lobe pneumonia",
    "calcified granuloma",
    "pulmonary edema",
    "hyperinflated lungs",
    "rib fracture",
    "central venous catheter",
    "pacemaker",
    "scoliosis",
    "hiatal hernia",
    "tortuous aorta",
    "lung nodule",
    "atelectasis",
    "no acute disease",
    "normal chest",
)

ODD_TEXTS: dict[str, OddText] = {
    "scrambled_letters": OddText(
        "scrambled letters", False, True, "no word is left, only its letters", _scrambled_letters
    ),
    "random_words": OddText(
        "random words", False, True, "every word is a report's, no sentence is", _random_words
    ),
    "shuffled_words": OddText(
        "shuffled words",
        False,
        False,
        "the words are the report's own, and the encoder hardly minds their order",
        _shuffled_words,
    ),
    "language": OddText(
        "another language",
        True,
        True,
        "chest reports in German, Spanish and French: training was in English",
        _from(tuple(LANGUAGES.values())),
    ),
    "body_part": OddText(
        "another body part",
        True,
        True,
        "reports, but of knee, brain, abdomen, spine, hand or breast",
        _from(tuple(BODY_PARTS.values())),
    ),
    "prose": OddText("everyday prose", True, True, "good English, and not about medicine", _from((PROSE,))),
    "keyboard": OddText("keyboard mashing", True, True, "letters at random", _keyboard),
    "phrase": OddText(
        "a single phrase", True, False, "short, but about chests: what a search asks for", _phrase
    ),
}
