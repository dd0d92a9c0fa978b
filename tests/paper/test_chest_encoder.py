"""The chest encoder, rebuilt at miniature size from codes to folder; its table; the committed file."""

import hashlib
import json
import shutil
from dataclasses import asdict, replace
from itertools import product
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from sources import ROOT
from transformers import AutoModel

from medprobclip.commands import encoder as command
from medprobclip.data.radiographs import read_image
from medprobclip.evaluation.discrimination import auroc
from medprobclip.paper import chest_encoder
from medprobclip.paper.chest_encoder import begin, judge, provenance, readability_table, school_encoder
from medprobclip.paper.figures import catalogue as figures
from medprobclip.school_settings import ReadabilityConfig, SchoolConfig
from medprobclip.settings import GreyConfig
from medprobclip.simulator.chest.preparation import PREPARATION_VERSION
from medprobclip.simulator.corpus import simulate_corpus
from medprobclip.simulator.openi_sim import training_codes
from medprobclip.simulator.school import KINDS, codes_by_kind, invent_patients
from medprobclip.simulator.simulate import SIMULATOR_VERSION, SimulationConfig
from medprobclip.support import precision
from medprobclip.support.backbones import PACKAGED, load_backbone
from medprobclip.training import schooling
from medprobclip.training.encoders import small_vision_config

CORPUS = ("Cardiomegaly/mild", "Cardiomegaly/mild", "Cardiac Shadow/enlarged", "normal", "Nipple Shadow")
CONFIG = SchoolConfig("tiny-resnet", patients=60, size_px=64, least_positives=2, epochs=1, batch_size=8)
FLAGS = "--vision tiny-resnet --patients 60 --size_px 64 --least_positives 2 --epochs 1 --batch_size 8"
HELD_OUT, TRAIN = slice(3, 9), slice(9, 60)  # by hand: a twentieth, a tenth, the rest
COMMITTED = PACKAGED["chest-encoder"]

committed = pytest.mark.skipif(not COMMITTED.exists(), reason=f"{COMMITTED} does not exist yet: make encoder")


def opened(folder) -> SimpleNamespace:
    """The metadata and the weights of a saved encoder."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        return SimpleNamespace(
            metadata=file.metadata(), weights={name: file.get_tensor(name) for name in file.keys()}
        )


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """The whole pipeline, once: its folder, its table, and the codes."""
    out, codes = tmp_path_factory.mktemp("encoder"), codes_by_kind(CORPUS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_bfloat16", lambda device: False)
        patch.setattr(schooling, "keep_freed_memory", lambda: False)
        table = school_encoder(codes, out, CONFIG)
    return SimpleNamespace(out=out, table=table, codes=codes)


@pytest.fixture
def idle(monkeypatch):
    """Fails where anything is rendered or learned."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(schooling, "keep_freed_memory", lambda: False)
    monkeypatch.setattr("medprobclip.simulator.corpus._render_all", lambda *_: pytest.fail("rendered again"))
    monkeypatch.setattr(schooling, "TrainingViews", lambda *_: SimpleNamespace(to=lambda device: None))


def drawn_in(miniature) -> pd.DataFrame:
    """What the miniature's patients have: its truth, read from its radiographs' folder."""
    folder = miniature.out / "radiographs"
    return simulate_corpus(invent_patients(60, miniature.codes), folder, SimulationConfig(size_px=64))


@torch.no_grad()
def held_out_logits(miniature) -> np.ndarray:
    """Of the saved encoder and the last state's linear layer: `[patients, PA and lateral, kinds]`."""
    encoder = AutoModel.from_pretrained(miniature.out / "encoder", dtype=torch.float32).eval()
    state = torch.load(miniature.out / "last.pt", weights_only=True)["model"]
    rows = []
    for number, view in product(range(60)[HELD_OUT], ("pa", "lateral")):
        film = read_image(miniature.out / "radiographs" / f"R{number:06d}_{view}.png")
        pixels = (torch.tensor(film).float() / 255 - GreyConfig.mean) / GreyConfig.std
        features = encoder(pixel_values=pixels[None, None]).last_hidden_state[0].mean((1, 2))
        rows.append(state["linear.weight"] @ features + state["linear.bias"])
    return torch.stack(rows).unflatten(0, (6, 2)).numpy()[:, :, : len(KINDS)]


def test_a_miniature_becomes_a_folder_that_transformers_opens(miniature):
    """Its features are those of the encoder that was trained, up to half precision."""
    files = {path.name for path in (miniature.out / "encoder").iterdir()}
    assert files == {"config.json", "model.safetensors"}
    encoder = AutoModel.from_pretrained(miniature.out / "encoder", dtype=torch.float32).eval()
    trained = schooling.Pupil("tiny-resnet", 1).encoder
    state = torch.load(miniature.out / "last.pt", weights_only=True)["model"]
    own = {name.removeprefix("encoder."): w for name, w in state.items() if name.startswith("encoder.")}
    trained.load_state_dict(own)
    films = torch.stack([
        torch.tensor(read_image(path)) for path in sorted((miniature.out / "radiographs").glob("*.png"))[:8]
    ])  # fmt: skip
    pixels = (films[:, None].float() / 255 - GreyConfig.mean) / GreyConfig.std
    with torch.no_grad():
        found, wanted = (m.eval()(pixel_values=pixels).last_hidden_state for m in (encoder, trained))
    torch.testing.assert_close(found, wanted, atol=1e-2, rtol=1e-2)
    assert wanted.std(0).mean() > 0.02  # films differ


def test_its_table_counts_held_out_patients_and_measures_each_film(miniature):
    """Counts from the rendered truth, AUROC pair by pair from the saved folder."""
    table = miniature.table
    stored = pd.read_csv(miniature.out / "readability.csv")
    pd.testing.assert_frame_equal(stored, table, rtol=1e-5, check_dtype=False)
    assert set(table["kind"]) == set(KINDS)
    rendered, logits = drawn_in(miniature), held_out_logits(miniature)
    owners = {kind: set(rows["study_id"]) for kind, rows in rendered.groupby("kind")}
    scores = {"pa": logits[:, 0], "lateral": logits[:, 1], "both": (logits[:, 0] + logits[:, 1]) / 2}
    ids, measured = [f"R{i:06d}" for i in range(60)], 0
    for row in table.to_dict("records"):
        has = [study_id in owners.get(row["kind"], ()) for study_id in ids]
        assert row["training_positives"] == sum(has[TRAIN])
        assert (row["positives"], row["negatives"]) == (sum(has[HELD_OUT]), 6 - sum(has[HELD_OUT]))
        if row["positives"] in (0, 6):
            assert row["verdict"] == "not measured"
            continue
        measured += 1
        for film, of in scores.items():
            values = of[:, KINDS.index(row["kind"])]
            pairs = [values[p] > values[n] for p, n in product(range(6), repeat=2)
                     if has[HELD_OUT][p] > has[HELD_OUT][n]]  # fmt: skip
            assert row[film] == pytest.approx(np.mean(pairs)), (row["kind"], film)
        assert row["low"] <= row["both"] <= row["high"]
    assert measured >= 4


def test_its_metadata_say_where_it_comes_from(miniature):
    metadata, weights = vars(opened(miniature.out / "encoder")).values()
    assert metadata["command"] == "medprobclip encoder"
    assert metadata["simulator_version"] == str(SIMULATOR_VERSION)
    assert metadata["preparation_version"] == str(PREPARATION_VERSION)
    assert json.loads(metadata["config"]) == asdict(CONFIG)
    assert (metadata["patients"], metadata["seed"]) == ("60", "42")
    names = len(torch.load(miniature.out / "last.pt", weights_only=True)["model"]["linear.bias"])
    assert metadata["names"] == str(names)
    assert names > len(KINDS)  # sides, places and appearances are taught as well
    table = miniature.table.set_index("kind")
    areas = json.loads(metadata["held_out_auroc"])
    assert list(areas) == list(table.index)
    for kind, row in table.iterrows():
        known = {film: round(row[film], 3) for film in ("pa", "lateral", "both") if not np.isnan(row[film])}
        assert areas[kind] == known
    means = {film: pytest.approx(np.nanmean(table[film]), abs=6e-4) for film in ("pa", "lateral", "both")}
    assert json.loads(metadata["held_out_mean_auroc"]) == means
    assert {w.dtype for w in weights.values()} == {torch.float16, torch.int64}  # int64: batches counted


def test_metadata_tell_other_codes_apart():
    """By how often each is given, not by the order of reports; what was not measured is left out."""
    table = pd.DataFrame({"kind": ["nodule"], "pa": [0.91234], "lateral": [np.nan], "both": [0.5]})
    made = {
        codes: provenance(CONFIG, {"nodule": list(codes)}, KINDS, table) for codes in ("aba", "aab", "ab")
    }
    assert made["aba"]["codes"] == made["aab"]["codes"] != made["ab"]["codes"]
    assert json.loads(made["ab"]["held_out_auroc"]) == {"nodule": {"pa": 0.912, "both": 0.5}}
    assert all(isinstance(value, str) for value in made["ab"].values())


def test_a_second_call_renders_and_learns_nothing(miniature, idle):
    before = opened(miniature.out / "encoder")
    pictures = {path: path.stat().st_mtime_ns for path in (miniature.out / "radiographs").glob("*.png")}
    assert len(pictures) == 120
    table = school_encoder(miniature.codes, miniature.out, CONFIG)
    pd.testing.assert_frame_equal(table, miniature.table)
    assert {path: path.stat().st_mtime_ns for path in pictures} == pictures
    after = opened(miniature.out / "encoder")
    assert after.metadata == before.metadata
    assert all(torch.equal(weight, before.weights[name]) for name, weight in after.weights.items())


def test_other_lessons_begin_anew(tmp_path, monkeypatch):
    labels, names = np.eye(9, len(KINDS) + 1, dtype=bool), (*KINDS, "nodule, left")
    state = tmp_path / "last.pt"

    def kept(config=CONFIG, labels=labels, names=names) -> bool:
        state.write_bytes(b"learned")
        begin(tmp_path, config, labels, names)
        return state.exists()

    assert not kept()  # a state of unknown lessons
    assert kept()
    assert kept(replace(CONFIG), labels.copy(), tuple(names))
    for other in (
        {"config": replace(CONFIG, learning_rate=1e-4)},
        {"config": replace(CONFIG, seed=1)},
        {"labels": ~labels},
        {"labels": np.eye(9, len(KINDS) + 1, 1, dtype=bool)},
        {"names": (*KINDS, "nodule, right")},
    ):
        assert not kept(**other)
        assert kept(**other)
        assert not kept()
    for version in ("SIMULATOR_VERSION", "PREPARATION_VERSION"):  # other pictures of the same findings
        with monkeypatch.context() as patch:
            patch.setattr(chest_encoder, version, -1)
            assert not kept(), version
        kept()


def test_verdicts():
    config = ReadabilityConfig(hard_below=0.75, small_mm=20, subtle=0.5)
    assert judge(0.75, 5, 0.1, config) == "readable"
    assert judge(0.74, 19.9, 0.1, config) == "small"
    assert judge(0.74, 20, 0.49, config) == "subtle"
    assert judge(0.74, 20, 0.5, config) == "wrong"


def test_table_counts_and_measures_each_kind():
    rng = np.random.default_rng(0)
    labels = np.zeros((50, len(KINDS)), dtype=bool)
    labels[:10, 0] = labels[5:25, 1] = True
    labels[:, 2] = True
    scores = {name: rng.normal(size=labels.shape) + labels for name in ("pa", "lateral", "both")}
    rendered = pd.DataFrame(
        {"kind": [KINDS[0]] * 3, "size_mm": [1, 4, 9], "pa_conspicuity": [0.1, 0.2, None],
         "lateral_conspicuity": [0.3, None, 0.1]}
    )  # fmt: skip
    table = readability_table(scores, labels, np.arange(len(KINDS)), rendered, ReadabilityConfig())
    assert table["both"].dropna().is_monotonic_decreasing
    rows = table.set_index("kind")
    assert set(rows.index) == set(KINDS)
    first, second = rows.loc[KINDS[0]], rows.loc[KINDS[1]]
    assert (first["positives"], first["negatives"], first["training_positives"]) == (10, 40, 0)
    assert (second["positives"], second["negatives"], second["training_positives"]) == (20, 30, 1)
    assert (first["size_mm"], first["conspicuity"]) == (4, 0.2)
    assert first["low"] < first["both"] < first["high"]
    for name, of in scores.items():
        assert first[name] == auroc(of[:, 0], labels[:, 0])
        assert second[name] == auroc(of[:, 1], labels[:, 1])
    for kind in KINDS[2:]:
        assert rows.loc[kind, "verdict"] == "not measured"
        assert rows.loc[kind, ["pa", "lateral", "both", "low", "high"]].isna().all()


def test_the_command_with_other_settings_leaves_what_is_committed(
    miniature, idle, tmp_path, monkeypatch, capsys
):
    shutil.copytree(miniature.out, tmp_path / "out")
    (tmp_path / "out" / "encoder" / "model.safetensors").unlink()
    monkeypatch.setattr(command, "OUT", tmp_path / "out")
    monkeypatch.setattr(command, "ROOT", tmp_path / "root")
    monkeypatch.setitem(PACKAGED, "chest-encoder", tmp_path / "chest_encoder")
    monkeypatch.setattr("medprobclip.simulator.openi_sim.training_codes", lambda: list(CORPUS))
    command.main(FLAGS.split())
    assert opened(tmp_path / "out" / "encoder").metadata == opened(miniature.out / "encoder").metadata
    assert (tmp_path / "out" / "readability.png").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    printed = capsys.readouterr().out
    hard = miniature.table[~miniature.table["verdict"].isin(["readable", "not measured"])]
    assert f"{len(hard)} of {len(KINDS)} kinds are hard (AUROC below 0.75)" in printed
    assert all(kind in printed for kind in KINDS)
    assert str(tmp_path / "out" / "encoder") in printed
    plt.close("all")


def test_the_figure_shows_each_kind_in_the_order_of_the_table(miniature):
    ax = figures.readability(miniature.table, 0.75).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == miniature.table["kind"].tolist()
    kinds = miniature.table["kind"]
    drawn = {(x, kinds[y]) for bars in ax.containers for x, y in zip(*bars[0].get_data(), strict=True)}
    measured = miniature.table.dropna(subset="both")
    assert drawn == set(zip(measured["both"], measured["kind"], strict=True))
    plt.close("all")


@committed
def test_the_committed_encoder_is_of_this_simulator_these_defaults_and_the_training_codes():
    metadata = opened(COMMITTED).metadata
    assert metadata["simulator_version"] == str(SIMULATOR_VERSION)
    assert metadata["preparation_version"] == str(PREPARATION_VERSION)
    assert json.loads(metadata["config"]) == asdict(SchoolConfig())
    codes = codes_by_kind(training_codes())
    written = json.dumps({kind: sorted(codes[kind]) for kind in KINDS})
    assert metadata["codes"].endswith(hashlib.sha256(written.encode()).hexdigest())


@committed
def test_the_committed_encoder_is_small_and_in_half_precision():
    assert (COMMITTED / "model.safetensors").stat().st_size <= 5_000_000
    weights = opened(COMMITTED).weights
    assert {w.dtype for w in weights.values() if w.is_floating_point()} == {torch.float16}
    assert {path.name for path in COMMITTED.iterdir()} == {"README.md", "config.json", "model.safetensors"}


@committed
def test_the_committed_figure_is_of_the_committed_encoder():
    metadata = opened(COMMITTED).metadata
    table = pd.read_csv(ROOT / "figures" / "readability.csv").set_index("kind")
    films = ["pa", "lateral", "both"]
    means = {film: pytest.approx(table[film].mean(), abs=6e-4) for film in films}
    assert json.loads(metadata["held_out_mean_auroc"]) == means
    areas = pd.DataFrame(json.loads(metadata["held_out_auroc"])).T.astype(float)
    pd.testing.assert_frame_equal(areas[films], table[films], atol=6e-4, rtol=0, check_names=False)


@committed
@torch.no_grad()
def test_the_committed_encoder_loads_by_its_name():
    encoder = load_backbone("chest-encoder", "vision").eval()
    films = torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    features = encoder(pixel_values=films).last_hidden_state
    assert features.dtype == torch.float32
    wanted = small_vision_config(SchoolConfig().vision)
    assert (encoder.config.hidden_sizes, encoder.config.depths) == (wanted.hidden_sizes, wanted.depths)
    assert torch.isfinite(features).all()
    assert features.std() > 0
