"""The README of a saved retriever: what it is, what it promises, and what it is not for."""

from __future__ import annotations

_CARD = """---
library_name: medprobclip
pipeline_tag: image-text-retrieval
tags: [chest-radiographs, radiology-reports, retrieval, uncertainty]
---

# A MedProbCLIP retriever

A model of radiographs and reports (`config.json`, `model.safetensors`, processor), what calibration studies
allow it to promise (`calibration.json`, `embeddings-calibrate.safetensors`), how it tells strange inputs
(`strangeness.safetensors`, if there), and an index of studies to be found (`index/`).

```python
from medprobclip import Retriever

answers = Retriever.load("this/folder").search("film.png")
```

**Research software, not a medical device.** Its promises hold for queries that are like the calibration
studies, and not for others. The index holds the ids and embeddings of its studies{text}; share it as you
would share them.
"""


def card(with_text: bool) -> str:
    """Markdown; `with_text` says whether report text is in the index."""
    return _CARD.format(text=", **and the text of their reports**" if with_text else ", not their texts")
