"""Much work in parallel, kept in pieces until all is done: an interruption costs a piece."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medprobclip.support.files import replaced_file
from medprobclip.support.progress import progress_bar

CHUNK = 1000  # items of a piece


def in_chunks(
    work: Callable[[Sequence], list], items: Sequence, folder: Path, label: str, size: int = CHUNK
) -> list:
    """`work(part)` for parts of the items, in threads; what it gives for every item, in their order.

    What a part gives is kept as JSON in `folder`, and taken from there when the same part is asked again.
    The caller deletes the folder. Raises what the work raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [items[start : start + size] for start in range(0, len(items), size)]

    def done(numbered: tuple[int, Sequence]) -> list:
        number, part = numbered
        place = folder / f"part-{number:06d}.json"
        asked = hashlib.sha256(json.dumps(part).encode()).hexdigest()
        try:
            kept = json.loads(place.read_text(encoding="utf-8"))
            if kept["of"] == asked and len(kept["given"]) == len(part):
                return kept["given"]
        except (OSError, ValueError, KeyError, TypeError):  # none yet, or of other items
            pass
        given = work(part)
        with replaced_file(place) as temporary:
            temporary.write_text(json.dumps({"of": asked, "given": given}), encoding="utf-8")
        return given

    results: list = []
    pool = ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1)))  # mostly waiting for the disk
    try:
        with progress_bar(len(items), label, "report") as bar:
            for part in pool.map(done, enumerate(parts)):
                results += part
                bar.update(len(part))
    finally:
        pool.shutdown(cancel_futures=True)
    return results
