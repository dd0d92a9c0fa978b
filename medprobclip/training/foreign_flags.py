"""Flags that people bring from the published script and from elsewhere: what they are here, or why not.

What those of the published script did: its argparse and its losses, github.com/FOURM-LAB/MedProbCLIP.
"""

from __future__ import annotations

from collections.abc import Iterable

from medprobclip.support.config_files import nearest

_PSEUDO = (
    "scheduled and logged by the published script, but no term of its loss. The loss of PCME++ that does it "
    "is --pseudo_positive_weight"
)
_FREEZE = "here --freeze vision, text or both"
_KL = "here --kl_weight, one for radiographs and reports"
_PRECISION = "here --precision bfloat16, float16 or float32; auto takes what the device has"
_RESUME = "not needed: the same command, or --out alone, goes on where the run in --out stopped"
_SEVERAL = "not needed: torchrun --nproc_per_node N -m medprobclip train … (or accelerate launch) takes N"
_RATE = "here --learning_rate"
_HINTS = {
    # of the published script
    "lr": _RATE,
    "grad_clip": "here --clip_norm",
    "img_size": "here --image_size",
    "max_len": "here --max_tokens",
    "beta_vib_I": _KL,
    "beta_vib_T": _KL,
    "lambda_I": "here --image_image_weight",
    "lambda_T": "here --text_text_weight",
    "img_backbone": "here --vision, a name of transformers (timm's vit_base_patch16_224 is "
    "google/vit-base-patch16-224)",
    "text_backbone": "here --text",
    "freeze_img": _FREEZE,
    "freeze_text": _FREEZE,
    "proj_hidden": "here --head_hidden",
    "alpha_pp": _PSEUDO,
    "pp_k": _PSEUDO,
    "pp_thresh": _PSEUDO,
    "alpha_warmup_epochs": _PSEUDO,
    "disable_lr_scheduler": "the published schedule was stepped once an epoch over a length in steps, so the "
    "rate hardly fell with or without it. Here it falls along a cosine to 0",
    "log_interval": "not needed: every step goes to TensorBoard",
    "trial_augment": "changed nothing but the folder: here --out FOLDER/NAME",
    "continue_from_epoch": _RESUME,
    # from elsewhere
    "learning-rate": _RATE,
    "wd": "here --weight_decay",
    "bs": "here --batch_size",
    "batch": "here --batch_size",
    "per_device_train_batch_size": "here --batch_size, of all processes together",
    "gradient_accumulation_steps": "here --chunk, studies at a time: the loss stays that of the whole batch",
    "num_workers": "here --workers",
    "num_epochs": "here --epochs",
    "num_train_epochs": "here --epochs",
    "max_grad_norm": "here --clip_norm",
    "warmup_ratio": "here --warmup",
    "warmup_steps": "here --warmup, a share of all steps",
    "warmup_epochs": "here --warmup, a share of all steps",
    "img_dim": "here --image_size",
    "max_length": "here --max_tokens",
    "temperature": "here --scale, the factor of the score at the start",
    "pretrained": "here --vision and --text take names or folders of pretrained models",
    "checkpoint": "here --vision and --text take names or folders of pretrained models",
    "output_dir": "here --out",
    "save_dir": "here --out",
    "logging_dir": "not needed: TensorBoard logs are in --out",
    "save_steps": "here --save_every",
    "save_total_limit": "here --keep_states",
    "wandb": "here --report_to wandb",
    "mlflow": "here --report_to mlflow",
    "torch_compile": "here --compile",
    "amp": _PRECISION,
    "use_amp": _PRECISION,
    "fp16": "here --precision float16",
    "bf16": "here --precision bfloat16",
    "fp32": "here --precision float32",
    "mixed_precision": _PRECISION,
    "resume": _RESUME,
    "resume_from_checkpoint": _RESUME,
    "gpus": _SEVERAL,
    "gpu": "not needed: CUDA_VISIBLE_DEVICES=0 medprobclip train … takes that one",
    "num_gpus": _SEVERAL,
    "num_processes": _SEVERAL,
    "nproc_per_node": _SEVERAL,
    "device": "not needed: a GPU is taken where there is one. CUDA_VISIBLE_DEVICES chooses it, "
    "ACCELERATE_USE_CPU=true takes none",
    "no_cuda": "here ACCELERATE_USE_CPU=true in the environment",
    "tables": "that is of `medprobclip run`; here --train_csv, --val_csv, --test_csv",
}  # fmt: skip


def hint(name: str, known: Iterable[str], dashes: str = "--") -> str:
    """What to do about a flag or key that is not known here, as the rest of a sentence.

    `known` are those that are; `dashes` are set before the names of those that may have been meant.
    """
    by_name = {key.lower().replace("-", "_"): said for key, said in _HINTS.items()}
    if said := by_name.get(name.lower().replace("-", "_")):
        return said if dashes else said.replace("--", "")
    near = " or ".join(dashes + other for other in nearest(name, known))
    what = "flag" if dashes else "setting"
    return f"no such {what}; " + (f"did you mean {near}?" if near else "medprobclip train --help lists all")


def unknown_flags(words: Iterable[str], known: Iterable[str]) -> list[str]:
    """A line for each flag of those words of a command line that were not understood."""
    words, known = list(words), list(known)
    flags = dict.fromkeys(word.split("=")[0] for word in words if word.startswith("-") and word.strip("-"))
    flags = [flag for flag in flags if not flag.lstrip("-.").replace(".", "").isdigit()]
    stray = [] if flags else [f"{word}: belongs to no flag" for word in words]
    return [f"{flag}: {hint(flag.lstrip('-'), known)}" for flag in flags] + stray
