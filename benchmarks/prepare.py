"""How long `medprobclip prepare mimic-cxr` takes on a made-up archive: `python benchmarks/prepare.py --help`

Official names, columns and nesting; reports of about MIMIC-CXR's length (700 characters), five images for
every three studies. There are no images: none is opened. With --folder the reports are unpacked first.
"""

import argparse
import contextlib
import csv
import gzip
import io
import resource
import tempfile
import time
import zipfile
from pathlib import Path

import pandas as pd

from medprobclip.archives.mimic_cxr import LABELS
from medprobclip.commands.prepare import main as prepare

SENTENCE = "There is no focal consolidation, pleural effusion or pneumothorax in the lung {}. \n "


def report(number: int) -> str:
    """About 700 characters."""
    findings = "".join(SENTENCE.format(number + i) for i in range(5))
    return (
        f"{' ' * 33}FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n INDICATION:  ___F with cough\n \n "
        f"COMPARISON:  None.\n \n FINDINGS: \n \n {findings}\n IMPRESSION: \n \n No acute process {number}.\n"
    )


def write(path: Path, header: list[str], rows: list[list]) -> None:
    with gzip.open(path, "wt", newline="", compresslevel=1) as file:
        csv.writer(file).writerows([header, *rows])


def made_up(folder: Path, studies: int, unpacked: bool) -> Path:
    """The archive, three or four studies a patient; gives the place of the reports."""
    (folder / "files").mkdir()
    images, labels, place = [], [], folder / "mimic-cxr-reports.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(studies):
            subject, study = str(10_000_000 + i * 2 // 7 * 100), str(50_000_000 + i * 40)
            split = {0: "validate", 1: "test"}.get(i * 2 // 7 % 40, "train")
            for view in ("PA", "LATERAL")[: 1 + (i % 3 < 2)]:
                images.append([f"{study}-0123-4567-89ab-{view}", subject, study, view, 2544, 3056, split])
            labels.append([subject, study, "1.0", "0.0", "-1.0", *[""] * 11])
            archive.writestr(f"files/p{subject[:2]}/p{subject}/s{study}.txt", report(i))
    if unpacked:
        with zipfile.ZipFile(place) as archive:
            archive.extractall(folder / "reports")
        place = folder / "reports"
    header = ["dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns", "split"]
    for kind in ("metadata", "split"):
        write(folder / f"mimic-cxr-2.0.0-{kind}.csv.gz", header, images)
    write(folder / "mimic-cxr-2.0.0-chexpert.csv.gz", ["subject_id", "study_id", *LABELS], labels)
    return place


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        prepare(arguments)
    return time.perf_counter() - started


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--studies", type=int, default=20_000, help="MIMIC-CXR has 227,835")
    command.add_argument("--folder", action="store_true", help="reports as files instead of a zip file")
    chosen = command.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reports = made_up(folder, chosen.studies, chosen.folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        flags = ["mimic-cxr", "--root", str(folder), "--reports", str(reports), "--out", str(folder / "out")]
        first, again = seconds(flags), seconds(flags)
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        size = sum(path.stat().st_size for path in (folder / "out").glob("*.csv")) / 1e6
    row = {
        "studies": chosen.studies, "reports": "folder" if chosen.folder else "zip", "seconds": first,
        "asked_again_s": again, "tables_mb": size, "extra_memory_mb": memory,
    }  # fmt: skip
    print(pd.DataFrame([row]).to_string(index=False, float_format=lambda x: f"{x:.3g}"))


if __name__ == "__main__":
    main()
