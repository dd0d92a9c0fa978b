"""How long a large study table takes to load and check, and how much memory: every image file is there.

.venv/bin/python benchmarks/tables.py --studies 400000
"""

from __future__ import annotations

import csv
import resource
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.notices import table_notices
from medprobclip.data.studies import COLUMNS, read_studies
from medprobclip.support.flags import HelpWithDefaults

SENTENCE = "The heart is normal in size and the mediastinum is unremarkable without focal consolidation "


def write_table(folder: Path, studies: int) -> Path:
    """A table of `studies` with two images each, 100 files a folder, and reports of 400 characters."""
    table = folder / "studies.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "subject_id"])
        for i in range(studies):
            place = f"files/p{i // 5000:03d}/p{i // 50:07d}"
            if i % 50 == 0:
                (folder / place).mkdir(parents=True)
            names = [f"{place}/s{i:08d}_{view}.jpg" for view in ("pa", "lateral")]
            for name in names:
                (folder / name).touch()
            findings = f"{SENTENCE * 3}in study {i}."
            writer.writerow(
                [f"s{i:08d}", ";".join(names), "PA;LATERAL", findings, f"{SENTENCE}{i % 40000}.", i // 2]
            )
    return table


def main() -> None:
    command = ArgumentParser(description=__doc__, formatter_class=HelpWithDefaults)
    command.add_argument("--studies", type=int, default=400_000, help="rows, two images each")
    count = command.parse_args().studies
    with tempfile.TemporaryDirectory() as folder:
        table = write_table(Path(folder), count)
        megabytes = table.stat().st_size / 2**20
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{count} studies, {megabytes:.0f} MB of CSV; {before:.0f} MB of memory before")
        started = time.perf_counter()
        studies = read_studies(table)
        read = time.perf_counter()
        check_disjoint({"this": studies, "another": studies[:0]})
        compared = time.perf_counter()
        table_notices(studies)
        ended = time.perf_counter()
        print(f"read and check     {read - started:5.1f} s")
        print(f"what tables share  {compared - read:5.1f} s")
        print(f"notices            {ended - compared:5.1f} s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"together           {ended - started:5.1f} s, {peak:.0f} MB of memory at most")


if __name__ == "__main__":
    main()
