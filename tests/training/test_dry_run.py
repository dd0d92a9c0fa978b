"""What a training takes, told before: bytes counted by hand, published sizes, and nothing written."""

from dataclasses import replace
from functools import cache

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import BertConfig, ViTConfig

from medprobclip.medprobclip_train import main, parse
from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.settings import OBJECTIVES, ObjectiveConfig
from medprobclip.training import dry_run as dry
from medprobclip.training.memory_need import (
    Held,
    MemoryNeed,
    _paired,
    encoder_bytes,
    gpu_kernels,
    memory_need,
    pair_bytes,
    parameters_by_part,
    without_data,
)
from medprobclip.training.processes import Team
from medprobclip.training.profiles import get_profile

OBJECTIVE = ObjectiveConfig()
TOKENS = (6, 4)


@pytest.fixture(scope="module")
def model():
    """Transformers of one layer without dropout, the attention of whose text keeps its probabilities."""
    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    vision = ViTConfig(image_size=16, patch_size=8, num_channels=1, **sizes)
    text = BertConfig(vocab_size=20, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **sizes)
    config = MedProbCLIPConfig(vision_config=vision, text_config=text, embed_dim=4, image_size=16)
    return MedProbCLIPModel(config)


@cache
def counted(model, studies=3, checkpointing=False, objective=OBJECTIVE):
    tokens = TOKENS[: objective.sections]
    return encoder_bytes(model, studies, tokens, objective, torch.float32, checkpointing)


def test_bytes_as_counted_by_hand():
    """A linear layer keeps its input, a ReLU its output; what no one keeps is gone."""
    layers = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    mode = FakeTensorMode()
    hollow, held = without_data(layers, mode), Held()
    with mode, held:
        for parameter in hollow.parameters():
            held.hold(parameter)
        weights = 4 * (3 * 5 + 5 + 5 * 2 + 2)
        assert held.now == weights
        out = hollow(torch.empty(7, 3)).sum()
        assert held.now == weights + 4 * (7 * 3 + 7 * 5 + 1)
        assert held.most >= weights + 4 * (7 * 3 + 7 * 5 + 7 * 5)  # before and after the ReLU at one time
        out.backward()
        del out
        assert held.now == 2 * weights  # gradients
    assert all(parameter.grad is None for parameter in layers.parameters())


def test_views_of_a_storage_count_once():
    with Held() as held:
        whole = torch.zeros(10)
        kept = [whole[2:5], whole.view(2, 5)]
        assert held.now == 40
        del whole, kept
        assert held.now == 0
    assert held.most == 40


def test_dropout_keeps_a_byte_an_element_as_on_a_gpu():
    x = torch.ones(10, 10, requires_grad=True)
    with gpu_kernels(), Held() as held:
        dropped = F.dropout(x, 0.5)
        assert held.now == 400 + 100
        assert F.dropout(x, 0.5, training=False) is x
    with Held() as plain:
        again = torch.dropout(x, 0.5, True)
    assert plain.now > held.now
    assert dropped.shape == again.shape
    assert F.dropout.__module__ == "torch.nn.functional"


def test_encoders_hold_what_autograd_saves(model):
    """Without data the same as hooks find in a forward pass with data: saved storages, inputs, outputs."""
    known = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    found, alive = {}, []

    def look(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            found[storage._cdata] = storage.nbytes()
        alive.append(tensor)
        return tensor

    model.train()
    pixels = torch.randn(2 * 3, 1, 16, 16)
    # Padded, so that the mask is not left out.
    texts = [torch.stack([torch.ones(3, n, dtype=torch.int64)] * 2) for n in TOKENS]
    for text in texts:
        text[1, 0, -1] = 0
    with torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        made = [model.encode_image(pixels), *(model.encode_text(*text) for text in texts)]
    for tensor in (pixels, *texts, *(t for g in made for t in (g.mean, g.log_var))):
        look(tensor)
    assert counted(model)[0] == pytest.approx(sum(found.values()), rel=0.01)


def test_memory_is_linear_in_studies(model):
    three, eight, many = (counted(model, studies)[0] for studies in (3, 8, 64))
    assert (many - eight) / 56 == (eight - three) / 5 > 0


def test_checkpointing_keeps_less(model):
    plain, again = counted(model, 64), counted(model, 64, True)
    assert again[0] < plain[0] / 2
    assert again[1] < plain[1]
    assert not model.is_activation_checkpointing


def test_views_and_sections_in_use_only(model):
    assert counted(model, objective=OBJECTIVES["clip"])[0] < counted(model)[0] * 0.6
    assert counted(model, objective=OBJECTIVES["medprobclip-inclusion"])[0] > counted(model)[0]


@pytest.mark.parametrize("name", ["medprobclip", "medprobclip-inclusion", "pcme++"])
def test_pairs_are_extrapolated(name):
    assert pair_bytes(OBJECTIVES[name], 48, 4) == pytest.approx(_paired(OBJECTIVES[name], 48, 4), rel=0.02)


def test_the_parts_of_a_step(model):
    numbers = sum(parameter.numel() for parameter in model.parameters())
    need = memory_need(model, 64, TOKENS, OBJECTIVE, torch.float32, False)
    assert need.gradients == 4 * numbers
    assert need.moments == 8 * numbers
    assert need.most > need.weights + need.moments + need.activations
    chunked = memory_need(model, 64, TOKENS, OBJECTIVE, torch.float32, False, chunk=8)
    encoders = counted(model, 8)
    pairs = pair_bytes(OBJECTIVE, 64, 4)
    assert chunked.activations == encoders[0] + pairs
    assert chunked.most == encoders[1] + pairs + need.moments + need.gradients  # of the chunks before


def test_a_frozen_part_learns_nothing(model):
    model.freeze("text")
    frozen, need = parameters_by_part(model), memory_need(model, 8, TOKENS, OBJECTIVE, torch.float32, False)
    model.freeze("none")
    free = parameters_by_part(model)
    assert frozen["text backbone"] == {"learning": 0, "frozen": free["text backbone"]["learning"]}
    assert {part: frozen[part] for part in ("vision backbone", "heads")} == {
        part: free[part] for part in ("vision backbone", "heads")
    }
    learning = sum(frozen[part]["learning"] for part in frozen)
    assert need.moments == 2 * need.gradients == 8 * learning
    assert need.activations < memory_need(model, 8, TOKENS, OBJECTIVE, torch.float32, False).activations


def test_the_papers_encoders_have_their_published_sizes():
    """BERT base has 109,482,240 weights with its pooler, ViT-B/16 86,567,656 with 1,000 classes in colour."""
    with torch.device("meta"):
        paper, told = dry.made_up_model(get_profile("paper"))
    counts = parameters_by_part(paper)
    assert counts["text backbone"]["learning"] == 109_482_240 - (768 + 1) * 768
    assert counts["vision backbone"]["learning"] == 86_567_656 - 769_000 - 2 * 16 * 16 * 768 - 2 * 768
    assert "nothing downloaded" in told[0]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(dry, "BATCH_SIZES", (8,))


def test_the_command_tells_all_and_writes_nothing(study_tables, tmp_path, monkeypatch, capsys, quick):
    table = pd.read_csv(study_tables["train"])
    table["image_paths"] = str(study_tables["train"].parent / "train-0-pa.png")
    table["view_names"] = "PA"
    table.loc[:2, "impression"] = ""
    (tmp_path / "in").mkdir()
    table.to_csv(tmp_path / "in" / "train.csv", index=False)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    arguments = ["--dry_run", "--profile", "smoke", "--batch_size", "8", "--out", str(out), "--epochs", "5"]
    main([*arguments, "--train_csv", str(tmp_path / "in" / "train.csv")])
    told = capsys.readouterr().out
    for part in ("vision backbone", "text backbone", "heads", "in all", "weights", "gradients", "moments",
                 "activations", "most at one time", "2 steps on made-up input", "studies a second",
                 "checkpointing_gb", "checkpointing_s"):  # fmt: skip
        assert part in told
    assert "37 studies, 4 an epoch, 20 in 5 epochs" in told
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", ["pcme++", "medprobclip-soft", "medprobclip-coded", "medprobclip-inclusion"])
def test_every_objective_runs_dry_without_tables(name, capsys, monkeypatch):
    monkeypatch.setattr(dry, "profile_need", lambda *arguments: MemoryNeed(1, 1, 1, 1, 1))
    main(["--dry_run", "--profile", "smoke", "--objective", name])
    assert "2 steps on made-up input" in capsys.readouterr().out


def test_tables_are_required_otherwise(capsys):
    for flags in ([], ["--dry_run", "False"]):
        with pytest.raises(SystemExit):
            parse(flags)
        assert "required: --train_csv, --val_csv, --out" in capsys.readouterr().err
    assert parse(["--dry_run"])[0].named() == {}


@pytest.mark.parametrize(("flag", "told"), [("--chunk=4", "normalisation"), ("--precision=float16", "GPU")])
def test_what_training_refuses_is_refused_before_it_tells(capsys, monkeypatch, flag, told):
    monkeypatch.setattr("accelerate.Accelerator.device", torch.device("cpu"))
    with pytest.raises(SystemExit, match=told):
        main(["--dry_run", "--profile=smoke", flag])
    assert "Memory" not in capsys.readouterr().out


def test_what_does_not_fit_is_told_and_not_tried(capsys, monkeypatch):
    huge = MemoryNeed(1, 1, 1, 1, most=10**18)
    with pytest.raises(MemoryError, match=r"1000000000\.0 GB are needed"):
        dry.refuse_too_much(huge, torch.device("cpu"), Team())
    monkeypatch.setattr(dry, "profile_need", lambda *arguments: huge)
    table = dry.dry_run(get_profile("smoke"))
    told = capsys.readouterr().out
    assert "No step was trained" in told
    assert "--gradient_checkpointing" in told
    assert list(table) == ["batch_size", "plain_gb", "checkpointing_gb"]


def test_time_is_linear_and_a_third_more_with_checkpointing():
    profile, table = get_profile("smoke"), pd.DataFrame({"batch_size": [8, 16]})
    plain = dry.with_seconds(table, profile, 0.5)
    assert plain["plain_s"].tolist() == [4, 8]
    assert plain["checkpointing_s"].tolist() == pytest.approx([16 / 3, 32 / 3])
    again = replace(profile, encoders=replace(profile.encoders, gradient_checkpointing=True))
    measured = dry.with_seconds(table, again, 0.5)
    assert measured["checkpointing_s"].tolist() == [4, 8]
    assert measured["plain_s"].tolist() == [3, 6]


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_estimate_is_what_a_gpu_holds(device, checkpointing):
    """Of the paper's encoders, where kernels' own workspaces are small beside the rest."""
    paper = get_profile("paper")
    encoders = replace(paper.encoders, gradient_checkpointing=checkpointing)
    profile = replace(paper, encoders=encoders, training=replace(paper.training, batch_size=24))
    model, _ = dry.made_up_model(profile)
    precision = dry.precision_on(device, "auto")
    need = dry.profile_need(model, profile, 24, precision, checkpointing)
    _, most = dry.trial_steps(model, profile, Team(), dry.accelerator_for(profile.training))
    assert most == pytest.approx(need.most, rel=0.1)
