"""Small models and batches that tests share."""

import os
import shutil
from dataclasses import replace

# Before torch is imported: processes that share the cores, and the kernels of notebooks, take one each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from families import SIZES, VISION
from hypothesis import HealthCheck, settings
from PIL import Image
from transformers import AutoModel, BertConfig

from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.gaussian import Gaussian
from medprobclip.settings import EncoderConfig
from medprobclip.support import compiling, kernels, precision
from medprobclip.training import loop as training
from medprobclip.training.calibrating import calibrate_run
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import train_run
from medprobclip.training_settings import TrainingConfig

# The same examples everywhere and every time, however long one takes.
settings.register_profile(
    "alike", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(  # pytest --hypothesis-profile=long
    "long", max_examples=2500, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("alike")


@pytest.fixture
def make_gaussian():
    """A random Gaussian of the given shape, float64, with log variances inside the model's clamp."""

    def make(*shape: int, seed: int = 0) -> Gaussian:
        generator = torch.Generator().manual_seed(seed)
        mean, log_var = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
        return Gaussian(mean, 1.5 * log_var)

    return make


@pytest.fixture(scope="session")
def study_tables(tmp_path_factory):
    """Four small study tables with pictures whose brightness pattern goes with the wording.

    Every study has two images except one; two studies of each table have the same findings.
    """
    folder = tmp_path_factory.mktemp("tables")
    generator = np.random.default_rng(0)
    places = ["left base", "right base", "left apex", "right apex"]
    tables = {}
    # New tables come last, so that the pixels of the others stay what they are.
    for split, count in {"train": 40, "validate": 12, "test": 12, "calibrate": 12}.items():
        rows = []
        for i in range(count):
            place, size = places[i % 4], ("small", "large")[i // 4 % 2]
            images = []
            for view in ("pa", "lateral") if i else ("pa",):
                pixels = generator.normal(60, 8, (32, 32))
                row, column = (20 if "base" in place else 4), (4 if "left" in place else 20)
                pixels[row : row + 8, column : column + (4 if size == "small" else 8)] += 150
                name = f"{split}-{i}-{view}.png"
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
                images.append(name)
            rows.append({
                "study_id": f"{split}-{i}",
                "image_paths": ";".join(images),
                "view_names": "PA;LATERAL" if i else "PA",
                "findings": f"Opacity in the {place}." if i < 2 else f"A {size} opacity {i} in the {place}.",
                "impression": f"{size.title()} {place} disease.",
            })  # fmt: skip
        rows[1]["findings"] = rows[0]["findings"]
        tables[split] = folder / f"{split}.csv"
        pd.DataFrame(rows).to_csv(tables[split], index=False)
    return tables


@pytest.fixture(scope="session")
def tiny_profile():
    """Settings that train in a second."""
    return Profile(
        "tiny",
        EncoderConfig("tiny-resnet", "tiny-bert", embed_dim=8, image_size=32, max_tokens=32, vocab_size=100),
        TrainingConfig(epochs=3, batch_size=8, learning_rate=3e-3),
    )


@pytest.fixture(scope="session")
def encoders(study_tables, tmp_path_factory):
    """A ViT and a BERT, without batch normalisation, in folders as from a hub."""
    folder = tmp_path_factory.mktemp("encoders")
    texts = pd.read_csv(study_tables["train"])[["findings", "impression"]].to_numpy().ravel()
    tokenizer = train_tokenizer(texts, 100, 32)
    text = BertConfig(**SIZES, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    for side, config in {"vision": VISION["vit"], "text": text}.items():
        AutoModel.from_config(config).save_pretrained(folder / side)
    tokenizer.save_pretrained(folder / "text")
    return folder / "vision", folder / "text"


@pytest.fixture(scope="session")
def calibrated_run(study_tables, tiny_profile, tmp_path_factory):
    """A finished run of one epoch, calibrated on its own part. Do not write into it."""
    out = tmp_path_factory.mktemp("calibrated") / "run"
    once = replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))
    train_run(study_tables["train"], study_tables["validate"], out, once)
    calibrate_run(out, study_tables["calibrate"])
    return out


@pytest.fixture
def float32(monkeypatch):
    """No half precision, also where the processor has it: other batches then differ by rounding only."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)


@pytest.fixture
def compiler(monkeypatch):
    """A fresh compiler; what it cannot do fails the test, unless the machine has none."""
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++", "cl"))):
        pytest.skip("no C++ compiler on this machine")
    fresh = compiling.Compiler()
    monkeypatch.setattr(kernels, "COMPILER", fresh)
    yield fresh
    assert not fresh.unavailable


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """Each device in turn, for training, too: the same test proves itself on a CPU and then on a GPU."""
    # accelerate chooses once for the whole process: it must ask again before this test, and after it.
    monkeypatch.setenv("ACCELERATE_USE_CPU", str(request.param == "cpu").lower())
    AcceleratorState._reset_state(True)
    yield torch.device(request.param)
    AcceleratorState._reset_state(True)


@pytest.fixture(autouse=True, scope="session")
def _own_image_cache(tmp_path_factory):
    """Keep cached test images out of the user's cache; the fetched assets stay where they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDPROBCLIP_IMAGES", str(tmp_path_factory.mktemp("images")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _memory_as_it_comes():
    """Training must not change how this process takes memory: the other tests share it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "keep_freed_memory", lambda: False)
        yield


def pytest_collection_modifyitems(items):
    """The notebooks first: they take longest, and the other files fill the other processes meanwhile."""
    longest = ("test_reproduce.py", "test_own_archives.py")  # a process each
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device; benchmarks/gpu.sh runs it on one"))
