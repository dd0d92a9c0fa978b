"""Folders as from a hub: no code is run, texts are cut where the model ends, towers and types are checked."""

import io
import json

import pytest
import torch
from families import TEXT, features_of, save_all, three_texts
from tokenizers import Tokenizer, models
from transformers import AutoModel, BertModel, BertTokenizer, PreTrainedTokenizerFast

from medprobclip.model import MedProbCLIPModel
from medprobclip.support.backbones import load_backbone, load_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("backbones"))


@pytest.fixture
def tokens():
    return three_texts()


def test_code_in_a_folder_is_never_run(tmp_path, monkeypatch):
    """Not even by a user who answers yes at the terminal."""
    (tmp_path / "conf.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "unheard-of", "auto_map": {"AutoConfig": "conf.C", "AutoModel": "conf.M"}})
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    for load in (lambda: load_backbone(str(tmp_path), "text"), lambda: load_tokenizer(str(tmp_path), 9)):
        with pytest.raises((ValueError, OSError)):
            load()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("model_type", "longest"), [("bert", 40), ("roberta", 38)])
def test_texts_are_cut_where_the_model_ends(tmp_path, model_type, longest):
    words = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "clear"))}
    BertTokenizer(vocab=words).save_pretrained(tmp_path)
    settings = {"model_type": model_type, "max_position_embeddings": 40, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    tokenizer_config = tmp_path / "tokenizer_config.json"
    tokenizer_config.write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    assert load_tokenizer(str(tmp_path), 600).model_max_length == longest
    assert load_tokenizer(str(tmp_path), 12).model_max_length == 12


def test_swapped_sides_are_refused(saved):
    with pytest.raises(ValueError, match="no vision model: it reads input_ids. Are they swapped"):
        MedProbCLIPModel.from_vision_text_pretrained(saved.text("bert"), saved.vision("vit"))


def test_weights_stored_in_half_learn_in_full(saved, tmp_path):
    AutoModel.from_pretrained(saved.both("clip")).half().save_pretrained(tmp_path)
    model = MedProbCLIPModel.from_vision_text_pretrained(
        str(tmp_path), str(tmp_path), text_pooling="own", embed_dim=6
    )
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@torch.no_grad()
def test_cxr_bert_loads_as_bert_without_its_code(saved, tokens, tmp_path):
    """A folder as on the hub: its own model type, code by reference, a prefix and a head that we leave."""
    bert = AutoModel.from_pretrained(saved.text("bert")).eval()
    whole = torch.nn.Module()
    whole.bert, whole.cls_projection_head = bert, torch.nn.Linear(24, 8)
    torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")
    settings = {
        **TEXT["bert"].to_dict(),
        "model_type": "cxr-bert",
        "architectures": ["CXRBertModel"],
        "auto_map": {"AutoModel": "modeling_cxrbert.CXRBertModel"},
        "projection_size": 8,
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "effusion"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    settings = {
        "tokenizer_class": "CXRBertTokenizer",
        "auto_map": {"AutoTokenizer": ["configuration_cxrbert.CXRBertTokenizer", None]},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    model = MedProbCLIPModel.from_vision_text_pretrained(
        saved.vision("resnet"), str(tmp_path), embed_dim=6, image_size=32
    ).eval()
    assert type(model.text_model) is BertModel
    features = features_of(model.text_head, lambda: model.encode_text(*tokens))
    expected = bert(input_ids=tokens[0], attention_mask=tokens[1]).last_hidden_state[:, 0]
    torch.testing.assert_close(features, expected)
    tokenizer = load_tokenizer(str(tmp_path), 16)
    assert tokenizer("No effusion")["input_ids"] == [2, 5, 6, 3]
    model.save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    again = AutoModel.from_pretrained(tmp_path / "ours").eval()
    torch.testing.assert_close(again.encode_text(*tokens).mean, model.encode_text(*tokens).mean)
    assert load_tokenizer(str(tmp_path / "ours"), 16)("No effusion")["input_ids"] == [2, 5, 6, 3]


@pytest.mark.parametrize(("asked", "limit"), [(16, 16), (400, 30)])
def test_a_tokenizer_cuts_where_its_model_ends(saved, tmp_path, asked, limit):
    pieces = Tokenizer(models.WordLevel({"[UNK]": 0, "no": 1}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=30).save_pretrained(tmp_path)
    TEXT["bert"].save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), asked)
    assert tokenizer.model_max_length == limit
    tokenizer.save_pretrained(tmp_path / "again")
    TEXT["bert"].save_pretrained(tmp_path / "again")
    assert load_tokenizer(str(tmp_path / "again"), 1000).model_max_length == limit
