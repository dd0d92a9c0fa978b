"""Archives in miniature as people download them: official names, columns and nesting; text made here."""

import csv
import gzip
import io
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medprobclip.__main__ import main
from medprobclip.data import read_studies

LABELS = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
).split(",")
METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,"
    "StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning"
).split(",")


def picture(path: Path, seed: int = 0) -> Path:
    """A small radiograph of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def table(path: Path, header: list[str], rows: list[list]) -> Path:
    """A CSV file, packed where its name says so."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    content = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def mimic_report(findings: str = "", impression: str = "", history: str = "___F with cough.") -> str:
    """A report as MIMIC-CXR has them: a space before every line, lines broken anywhere."""
    parts = [("EXAMINATION", "CHEST (PA AND LAT)"), ("INDICATION", history), ("COMPARISON", "None.")]
    parts += [(name, text) for name, text in (("FINDINGS", findings), ("IMPRESSION", impression)) if text]
    lines = [f"{name}:  {text}\n".replace(". ", ". \n ") for name, text in parts]
    return " " * 33 + "FINAL REPORT\n " + " \n ".join(lines)


def called(*arguments: object) -> str | int | None:
    """`medprobclip prepare`: its exit code, or the line that goes with code 1."""
    try:
        main(["prepare", *map(str, arguments)])
    except SystemExit as stopped:
        return stopped.code
    return None


def tables(out: Path) -> dict[str, pd.DataFrame]:
    """The tables that were made, as training reads them."""
    return {path.stem: read_studies(path) for path in sorted(out.glob("*.csv")) if path.stem != "flow"}


def dropped(out: Path) -> dict[str, tuple[int, int]]:
    """Rule -> studies and images that it dropped, where it did; the flow adds up."""
    flow = pd.read_csv(out / "flow.csv")
    for kind in ("studies", "images"):
        left = flow[f"{kind}_left"].tolist()
        assert [a - b for a, b in pairwise(left)] == flow[f"{kind}_dropped"].tolist()[1:]
    return {
        row.rule: (row.studies_dropped, row.images_dropped) for row in flow.itertuples() if row.images_dropped
    }


SECRET = "Zqxwvk"  # how every word begins that no run may tell
_CLEAR = "The lungs are clear. Heart size is normal. No pleural effusion or pneumothorax."
_SAID = (  # code of OpenI's experts, labels, findings, impression
    ("normal", {"No Finding": "1.0"}, _CLEAR, "No acute cardiopulmonary abnormality."),
    ("Pleural Effusion/{side}", {"Pleural Effusion": "1.0", "Pneumothorax": "0.0"},
     "There is a {size} {side} pleural effusion. No pneumothorax.", "{side} pleural effusion."),
    ("Cardiomegaly/mild", {"Cardiomegaly": "1.0", "Edema": "-1.0"},
     "The heart is enlarged. Mild vascular congestion, {size}.", "Cardiomegaly, edema may be present."),
    ("Opacity/lung/base/{side}", {"Lung Opacity": "1.0", "Pneumonia": "-1.0"},
     "There is a {size} opacity in the {side} lung base.", "Atelectasis or pneumonia on the {side}."),
    ("normal", {"No Finding": "1.0"}, _CLEAR, "No acute cardiopulmonary abnormality."),
    ("Pulmonary Atelectasis/base/{side}", {"Atelectasis": "1.0", "Pleural Effusion": "0.0"},
     "Low lung volumes with {size} atelectasis at the {side} base. No effusion.", "Basilar atelectasis."),
    ("No Indexing", {}, "A {size} chest film of the {side} side.", "Limited study."),
)  # fmt: skip


def said(i: int) -> tuple[str, dict[str, str], str, str]:
    """Of study i: an expert's code, CheXpert's labels, findings and impression.

    Every section begins and ends with a word that begins with SECRET and is of three studies at most.
    Normal studies are worded alike by threes. Of every eleven studies, one lacks the findings and one the
    impression.
    """
    code, labels, findings, impression = _SAID[i % len(_SAID)]
    fill = {"side": ("left", "right")[i // 7 % 2], "size": ("small", "large", "tiny", "dense")[i // 14 % 4]}
    alike = f"n{i // (3 * len(_SAID))}{i % len(_SAID)}" if code == "normal" else f"s{i}"
    words = [SECRET + part + "".join("abcdefghij"[int(d)] for d in alike[1:]) + alike[0] for part in "fi"]
    texts = [
        f"{word}: {_begun(text.format(**fill))} Compared with {word}."
        for text, word in zip((findings, impression), words, strict=True)
    ]
    return code.format(**fill), labels, texts[0] * (i % 11 != 8), texts[1] * (i % 11 != 3)


def _begun(text: str) -> str:
    return text[0].upper() + text[1:]


class Mimic:
    """MIMIC-CXR-JPG with `patients` patients of two studies: one with a PA and a lateral image, and one AP.

    Patient i is 10000000 + i and its studies 50000000 + 2i and + 1. Of every five patients the fourth
    validates and the fifth tests. Change rows and reports, then `write`.
    """

    def __init__(self, folder: Path, patients: int = 10) -> None:
        self.root, self.zip = folder / "jpg", folder / "mimic-cxr-reports.zip"
        self.metadata: list[list] = []
        self.split: list[list] = []
        self.labels: list[list] = []
        self.reports: dict[tuple[str, str], str] = {}
        for i in range(patients):
            split = {3: "validate", 4: "test"}.get(i % 5, "train")
            for j, views in enumerate((("PA", "LATERAL"), ("AP",))):
                subject, study = str(10_000_000 + i), str(50_000_000 + 2 * i + j)
                for view in views:
                    dicom = f"{study}-{view.lower()}-0000"
                    self.metadata.append(
                        [dicom, subject, study, "", view, 48, 40, 21800101, "101010.5", "", "", "Erect"]
                    )
                    self.split.append([dicom, study, subject, split])
                    picture(self.image(subject, study, dicom), len(self.metadata))
                self.labels.append([subject, study, "1.0", "0.0", "-1.0", *[""] * 11])
                self.reports[subject, study] = mimic_report(
                    f"Opacity {study}. No effusion.", f"Disease {study}."
                )

    def speak(self) -> "Mimic":
        """Reports and labels of all kinds (`said`) in place of what they were."""
        for i, (row, key) in enumerate(zip(self.labels, self.reports, strict=True)):
            _, labels, *texts = said(i)
            row[2:] = [labels.get(name, "") for name in LABELS]
            self.reports[key] = mimic_report(*texts)
        return self

    def image(self, subject: str, study: str, dicom: str, end: str = "jpg") -> Path:
        return self.root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}" / f"{dicom}.{end}"

    def write(self, end: str = "csv.gz", folder: Path | None = None) -> "Mimic":
        """The tables, in another folder than root if asked, and the reports as a zip file."""
        for kind, header, rows in (
            ("metadata", METADATA, self.metadata),
            ("split", ["dicom_id", "study_id", "subject_id", "split"], self.split),
            ("chexpert", ["subject_id", "study_id", *LABELS], self.labels),
            ("negbio", ["subject_id", "study_id", *LABELS], self.labels),
        ):
            table((folder or self.root) / f"mimic-cxr-2.0.0-{kind}.{end}", header, rows)
        with zipfile.ZipFile(self.zip, "w", zipfile.ZIP_DEFLATED) as archive:
            for (subject, study), text in self.reports.items():
                archive.writestr(f"files/p{subject[:2]}/p{subject}/s{study}.txt", text)
        return self

    def flags(self, out: Path) -> list[str]:
        return ["mimic-cxr", "--root", str(self.root), "--reports", str(self.zip), "--out", str(out)]


OPENI = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{number}"/><MedlineCitation><Abstract>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">{impression}
</AbstractText></Abstract></MedlineCitation><MeSH><major>{code}</major></MeSH>{images}</eCitation>"""


def openi_reports(path: Path, reports: list[tuple]) -> Path:
    """`NLMCXR_reports.tgz` of (number, findings, impression, image ids) and, if not Opacity/lung, a code."""
    with tarfile.open(path, "w:gz") as archive:
        for number, findings, impression, images, *code in reports:
            named = "".join(f'<parentImage id="{image}"/>' for image in images)
            text = OPENI.format(
                number=number, findings=findings, impression=impression,
                code=(code or ["Opacity/lung"])[0], images=named,
            ).encode()  # fmt: skip
            member = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return path


def openi_views(path: Path, views: dict[str, str]) -> Path:
    """`nlmcxr_dicom_metadata.csv.gz` of image id -> view position."""
    return table(path, ["imageid", "View Position"], [[image, view] for image, view in views.items()])


def openi(folder: Path, studies: int) -> list[str]:
    """An archive of so many studies (`said`), of two films each but for every fourth: the flags for it."""
    rows, views = [], {}
    for i in range(1, studies + 1):
        code, _, *texts = said(i)
        images = [f"CXR{i}_IM-{i:04d}-{view}001" for view in (1, 2)][: 1 if i % 4 == 0 else 2]
        rows.append((i, *texts, images, code))
        for image, view in zip(images, ("PA", "LL"), strict=False):
            picture(folder / "films" / f"{image}.png", i)
            views[image] = view
    places = {"--root": folder / "films", "--reports": openi_reports(folder / "NLMCXR_reports.tgz", rows)}
    places["--metadata"] = openi_views(folder / "nlmcxr_dicom_metadata.csv.gz", views)
    return ["openi", *(str(word) for place in places.items() for word in place)]
