"""Every default of the training: what a run is known by, and what may differ between its sittings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medprobclip.ranges import refuse_out_of_range

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how fast, from which seed; the defaults are those of arXiv 2602.16019.

    But for `decay_all`: the published code decays biases and norms, too.
    """

    epochs: int = field(
        default=20, metadata={"help": "passes over the training studies; may be raised later"}
    )
    batch_size: int = field(default=64, metadata={"help": "studies a step, two views and two sections each"})
    learning_rate: float = field(default=5e-5, metadata={"help": "peak of AdamW's rate"})
    vision_rate: float = field(
        default=1.0, metadata={"help": "the vision backbone's rate as a multiple of that of the heads"}
    )
    text_rate: float = field(
        default=1.0, metadata={"help": "the text backbone's rate as a multiple of that of the heads"}
    )
    layer_decay: float = field(
        default=1.0,
        metadata={"help": "rate of a backbone's layer as a multiple of the layer's above it; 1: all alike"},
    )
    weight_decay: float = field(default=1e-4, metadata={"help": "AdamW's decoupled weight decay"})
    decay_all: bool = field(
        default=False, metadata={"help": "decay biases, norms, scale and shift, too, as the published code"}
    )
    warmup: float = field(default=0.0, metadata={"help": "share of all steps with a rising rate"})
    clip_norm: float = field(default=1.0, metadata={"help": "largest gradient norm"})
    precision: Precision = field(
        default="auto",
        metadata={
            "help": "of the encoders: auto is bfloat16 where the device multiplies it, else float32; float16 "
            "scales the loss and needs a GPU. Scores and KL are float32 always"
        },
    )
    length_buckets: int = field(
        default=0,
        metadata={
            "help": "sort this many batches' studies by the length of their text before they are cut, so "
            "that batches have less padding; 0: random batches"
        },
    )
    seed: int = field(default=42, metadata={"help": "of initial weights, order and augmentation"})
    # Sums are added up in another order by every number of threads: only a fixed one repeats a run.
    threads: int | None = field(
        default=None, metadata={"help": "CPU threads, whatever is free; none: as many as PyTorch takes"}
    )

    def __post_init__(self) -> None:
        ranges = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 2,  # one study alone has nothing to be told from
            "learning_rate": self.learning_rate > 0,
            "vision_rate": self.vision_rate >= 0,
            "text_rate": self.text_rate >= 0,
            "layer_decay": 0 < self.layer_decay <= 1,
            "weight_decay": self.weight_decay >= 0,
            "warmup": 0 <= self.warmup <= 1,
            "clip_norm": self.clip_norm > 0,
            "length_buckets": self.length_buckets == 0 or self.length_buckets >= 2,
            "seed": 0 <= self.seed < 2**32,
            "threads": self.threads is None or 1 <= self.threads <= 1024,
        }
        refuse_out_of_range(self, ranges)


@dataclass(frozen=True)
class MachineConfig:
    """How a machine does it: memory, speed, what is kept and told. A resumed run may have others."""

    chunk: int = field(
        default=0,
        metadata={
            "help": "studies whose activations are held at a time (GradCache): the loss is still that of the "
            "whole batch, every study is encoded twice; 0: all at once"
        },
    )
    workers: int = field(
        default=0,
        metadata={"help": "processes that read radiographs ahead; 0: read by the training itself"},
    )
    compile: bool = field(
        default=False,
        metadata={"help": "compile the encoders (torch.compile): minutes first; slower on CPUs"},
    )
    save_every: int = field(
        default=500, metadata={"help": "steps between saved states; one is saved after each epoch, too"}
    )
    keep_states: int = field(default=2, metadata={"help": "saved states that are kept, the newest ones"})
    report_to: Literal["none", "wandb", "mlflow"] = field(
        default="none",
        metadata={"help": "a tracker that gets the numbers, too, beside TensorBoard and metrics.jsonl"},
    )

    def __post_init__(self) -> None:
        ranges = {
            "chunk": self.chunk >= 0,
            "workers": 0 <= self.workers <= 256,
            "save_every": self.save_every >= 1,
            "keep_states": self.keep_states >= 1,
        }
        refuse_out_of_range(self, ranges)
