"""Do the paper's encoders fit? Batch size against memory: `python benchmarks/memory.py`

Of the profile `paper` in bfloat16, with and without gradient checkpointing, for texts of full length in both
sections and for impressions of half of it. Counted on tensors without data (`training/memory_need.py`), so
that it needs neither a GPU nor memory, and gives the same numbers everywhere. 1 GB = 10⁹ bytes.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from medprobclip.training.dry_run import BATCH_SIZES, GB, made_up_model
from medprobclip.training.memory_need import memory_need
from medprobclip.training.profiles import get_profile

CARD_GB, LEFT_OUT_GB = 24.0, 1.5  # CUDA itself, gaps between blocks, workspaces


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument(
        "--out", type=Path, default=Path(__file__).with_suffix(".csv"), help="table to write"
    )
    command.add_argument("--batch_sizes", type=int, nargs="+", default=list(BATCH_SIZES))
    arguments = command.parse_args()
    profile = get_profile("paper")
    profile = replace(profile, encoders=replace(profile.encoders, gradient_checkpointing=False))
    (model, _), full, rows = made_up_model(profile), profile.encoders.max_tokens, []
    for tokens in ((full, full), (full, full // 2)):
        for checkpointing in (False, True):
            for studies in arguments.batch_sizes:
                need = memory_need(model, studies, tokens, profile.objective, torch.bfloat16, checkpointing)
                sizes = {f"{name}_gb": round(size / GB, 3) for name, size in vars(need).items()}
                rows.append({
                    "findings_tokens": tokens[0],
                    "impression_tokens": tokens[1],
                    "gradient_checkpointing": checkpointing,
                    "batch_size": studies,
                    **sizes,
                    "fits_24_gb": need.most / GB + LEFT_OUT_GB <= CARD_GB,
                })  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
