"""What a GPU gives, one step a call, as lines of CSV (name,value,unit): `python benchmarks/gpu.py --help`

`gpu.sh` runs every step in a process of its own and prints one table. Seconds are the fastest of several
calls, each waited for; memory is the most that torch held at one time beyond what was there before, 1 GB =
10⁹ bytes. Without a GPU the steps run on the CPU, in sizes that only show that they work.
"""

import argparse
import contextlib
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.optim.lr_scheduler import LambdaLR
from transformers import BertConfig, ResNetConfig, ViTConfig

from medprobclip.data.augment import TrainingViews
from medprobclip.data.dataset import Batch, Texts
from medprobclip.evaluation.scaling import chunked_broadcast, cosine_top_k, draw
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.search import top_k
from medprobclip.settings import OBJECTIVES, AugmentationConfig
from medprobclip.similarity import SCORES
from medprobclip.support.backbones import load_backbone
from medprobclip.support.precision import has_bfloat16
from medprobclip.training.encoders import SMALL_TEXT, small_vision_config
from medprobclip.training.processes import Team
from medprobclip.training.profiles import get_profile
from medprobclip.training.rates import parameter_groups
from medprobclip.training.runs import train_run
from medprobclip.training.steps import BatchLoss
from medprobclip.training.updates import Updates
from medprobclip.training_settings import MachineConfig, TrainingConfig

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SMALL = DEVICE.type == "cpu"
Row = tuple[str, float | str, str]


def waited() -> float:
    """The time when all that was asked of the device is done, in seconds."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def fastest(call: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest call, after one that does not count."""
    call()
    times = []
    for _ in range(repeats):
        started = waited()
        call()
        times.append(waited() - started)
    return min(times)


def most_held(call: Callable[[], object]) -> float:
    """GB beyond what was held before; not a number on a CPU."""
    if DEVICE.type == "cpu":
        return float("nan")
    waited()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    waited()
    return (torch.cuda.max_memory_allocated() - before) / 1e9


def what() -> Iterator[Row]:
    """Which device, which versions."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU: sizes are small, no benchmark"
    yield "device", name, ""
    yield "torch", torch.__version__, ""
    yield "bfloat16", "yes" if has_bfloat16(DEVICE) else "no", ""


def learning(x: Gaussian) -> Gaussian:
    return x.map(lambda t: t.clone().requires_grad_())


def kernels() -> Iterator[Row]:
    """Every score on one square of pairs; the expected likelihood beside the published broadcast."""
    n, dim = (128, 64) if SMALL else (4096, 512)
    x, y = draw(n, dim, 0).to(DEVICE), draw(n, dim, 1).to(DEVICE)
    shape = f"{n} x {n} x {dim}"
    with torch.no_grad():
        for name, score in SCORES.items():
            yield f"{name}, {shape}", 1e3 * fastest(lambda f=score: f(x, y)), "ms"
        ours = SCORES["expected_likelihood"]
        yield f"published broadcast, {shape}", 1e3 * fastest(lambda: chunked_broadcast(x, y), 2), "ms"
        yield "expected_likelihood, beyond its inputs", most_held(lambda: ours(x, y)), "GB"
        exact = chunked_broadcast(x[:64].to(torch.float64), y.to(torch.float64))
        error = ((ours(x, y)[:64].double() - exact).abs() / exact.abs()).max()
        yield "expected_likelihood, largest relative error", float(error), ""
    n = min(n, 1024)
    x, y = learning(x[:n].detach()), learning(y[:n].detach())
    leaves = (x.mean, x.log_var, y.mean, y.log_var)
    for name, score in (("expected_likelihood", ours), ("published broadcast", chunked_broadcast)):
        seconds = fastest(lambda f=score: torch.autograd.grad(f(x, y).sum(), leaves), 3)
        yield f"{name}, forward and backward, {n} x {n} x {dim}", 1e3 * seconds, "ms"


def search() -> Iterator[Row]:
    """The ten best for every query, exactly, beside brute-force cosine of the means."""
    n, m, dim = (20, 3000, 64) if SMALL else (2000, 100_000, 512)
    queries, gallery = draw(n, dim, 0).to(DEVICE), draw(m, dim, 1).to(DEVICE)
    ours = fastest(lambda: top_k(queries, gallery, 10), 3)
    cosine = fastest(lambda: cosine_top_k(queries, gallery, 10), 3)
    shape = f"{n} x {m:,} x {dim}".replace(",", " ")
    yield f"search, {shape}", ours, "s"
    yield f"cosine, {shape}", cosine, "s"
    yield "search, relative to cosine", ours / cosine, "times"
    yield "search, beyond queries and gallery", most_held(lambda: top_k(queries, gallery, 10)), "GB"
    one = queries[:1]
    yield f"search, 1 x {shape.split(' x ', 1)[1]}", 1e3 * fastest(lambda: top_k(one, gallery, 10)), "ms"
    # The best of each of 16 queries by the plain formula in float64.
    hits = top_k(queries[:16], gallery, 1)
    exact = chunked_broadcast(queries[:16].to(torch.float64), gallery.to(torch.float64)).argmax(1)
    yield "search, the best as in float64", float((hits.ids[:, 0] == exact).double().mean()), "share"


def made_up_batch(size: int, px: int, words: int, vocabulary: int) -> Batch:
    """Studies of noise with two texts each, of full and of half length."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, size, px, px), generator=generator, dtype=torch.uint8)
    texts = []
    for length in (words, words // 2):
        ids = torch.randint(5, vocabulary, (size, length), generator=generator)
        texts.append(Texts(ids, torch.ones_like(ids)))
    rows = torch.arange(size)
    return Batch(rows, images, tuple(texts), (rows, rows))


def steps(name: str, model: MedProbCLIPModel, batch: Batch) -> Iterator[Row]:
    """Studies a second of whole training steps, augmentation to update, and what they hold."""
    accelerator, config, augmentation = Accelerator(), TrainingConfig(), AugmentationConfig()
    objective = OBJECTIVES["medprobclip"]
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, config))
    schedule = LambdaLR(optimizer, lambda step: 1.0)
    batch_loss, optimizer, schedule = accelerator.prepare(
        BatchLoss(model, objective, Team()), optimizer, schedule
    )
    views = TrainingViews(model.config.image_size, augmentation).to(accelerator.device)
    updates = Updates(
        model, batch_loss, Team(), accelerator, optimizer, schedule, config, MachineConfig(), objective,
        views, None,
    )  # fmt: skip
    updates.step(batch)  # also brings the optimizer's own memory
    seconds = fastest(lambda: updates.step(batch), 2 if SMALL else 10)
    yield f"{name}, training", len(batch.rows) / seconds, "studies/s"
    yield f"{name}, a step beyond weights and optimizer", most_held(lambda: updates.step(batch)), "GB"
    if DEVICE.type == "cuda":
        yield f"{name}, most in all", torch.cuda.max_memory_allocated() / 1e9, "GB"


def demo_steps() -> Iterator[Row]:
    """The demo's encoders on batches of 64."""
    text = BertConfig(vocab_size=3000, max_position_embeddings=128, **SMALL_TEXT["small-bert"])
    vision = load_backbone("chest-encoder", "vision")
    model = MedProbCLIPModel(
        MedProbCLIPConfig(
            vision_config=vision.config, text_config=text, embed_dim=128, image_size=128, text_pooling="mean"
        )
    )
    yield from steps("demo encoders, 128 px", model, made_up_batch(8 if SMALL else 64, 128, 96, 3000))


def paper_steps() -> Iterator[Row]:
    """Encoders of the size of ViT-B/16 and BiomedBERT, with weights at random: nothing is fetched."""
    vision, text = ViTConfig(num_channels=1, image_size=224), BertConfig()
    size, words, name = 64, 256, "ViT-B/16 and BERT-base, 224 px"
    if SMALL:
        vision = ResNetConfig(**small_vision_config("tiny-resnet").to_diff_dict())
        text = BertConfig(vocab_size=1000, **SMALL_TEXT["tiny-bert"])
        size, words, name = 4, 16, "tiny encoders, 224 px"
    torch.manual_seed(0)
    model = MedProbCLIPModel(MedProbCLIPConfig(vision_config=vision, text_config=text))
    yield from steps(name, model, made_up_batch(size, 224, words, text.vocab_size))


def corpus(folder: Path) -> Iterator[Row]:
    """Two epochs of the demo profile on a real corpus: pictures read, texts varied, validated, saved."""
    if not (folder / "train.csv").exists():
        raise SystemExit(f"{folder} holds no train.csv: set CORPUS to a corpus (`make run` renders one)")
    profile = get_profile("demo")
    profile = replace(profile, training=replace(profile.training, epochs=2))
    with tempfile.TemporaryDirectory() as out:
        started = waited()
        # What training tells goes beside the rows, not among them.
        with contextlib.redirect_stdout(sys.stderr):
            history = train_run(folder / "train.csv", folder / "validate.csv", Path(out) / "run", profile)
        yield "demo, two epochs and densities, pictures read first", waited() - started, "s"
    for epoch in (0, 1):
        yield f"demo, epoch {epoch + 1}", history["seconds"][epoch], "s"
        yield f"demo, loss of epoch {epoch + 1}", history["loss"][epoch], ""
        yield f"demo, validation RSUM after epoch {epoch + 1}", history["val_rsum"][epoch], ""


STEPS = {
    "what": what, "kernels": kernels, "search": search, "demo_steps": demo_steps, "paper_steps": paper_steps,
}  # fmt: skip


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("step", choices=[*STEPS, "corpus"])
    command.add_argument("--corpus", type=Path, default=Path("data/openi-sim-128px"), help="of the last step")
    arguments = command.parse_args()
    rows = corpus(arguments.corpus) if arguments.step == "corpus" else STEPS[arguments.step]()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for name, value, unit in rows:  # each as soon as it is known: a step may run out of time
        writer.writerow([name, value if isinstance(value, str) else f"{value:.4g}", unit])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
