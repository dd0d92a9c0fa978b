"""What `import medprobclip` gives, how little it loads, and that transformers then knows our classes."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
from sources import PACKAGE, ROOT
from transformers import BertConfig, ResNetConfig

import medprobclip
from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.processor import MedProbCLIPProcessor


def stub(package: str) -> list[tuple[str, str]]:
    """(module, name) of every name that may be taken from a package itself, as its stub lists them."""
    path = ROOT / package.replace(".", "/") / "__init__.pyi"
    nodes = [
        node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)
    ]
    return [(node.module or "", alias.name) for node in nodes for alias in node.names]


PACKAGES = [".".join(path.parent.relative_to(ROOT).parts) for path in sorted(PACKAGE.rglob("__init__.pyi"))]
STUB = stub("medprobclip")


def fresh(code: str, *arguments: str) -> str:
    """What a new interpreter prints."""
    command = [sys.executable, *arguments, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_the_one_of_its_module(package):
    public = importlib.import_module(package)
    for module, name in stub(package):
        home = importlib.import_module(".".join(filter(None, (package, module, "" if module else name))))
        assert getattr(public, name) is (getattr(home, name) if module else home), name
    assert sorted(public.__all__) == sorted(name for _, name in stub(package))
    assert set(public.__all__) <= set(dir(public))


def test_what_one_expects_is_public():
    expected = "MedProbCLIPModel MedProbCLIPConfig MedProbCLIPProcessor Gaussian expected_likelihood"
    assert {*expected.split(), "objective_terms", "top_k"} <= set(medprobclip.__all__)
    with pytest.raises(AttributeError):
        medprobclip.no_such_name  # noqa: B018


def test_there_is_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "medprobclip.__version__"}
    assert version("medprobclip") == medprobclip.__version__
    assert re.search(rf"^## {re.escape(medprobclip.__version__)}", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_the_import_loads_next_to_nothing():
    """Counted in modules, not in seconds: torch alone brings more than a thousand."""
    code = (
        "import sys; before = set(sys.modules); import medprobclip\n"
        "new = {name for name in set(sys.modules) - before if not name.startswith('medprobclip')}\n"
        "print(sorted(name for name in new if name.split('.')[0] not in sys.stdlib_module_names))\n"
        "print(len(new))"
    )
    foreign, count = fresh(code, "-I").splitlines()
    assert ast.literal_eval(foreign) == ["lazy_loader"]
    assert int(count) < 60


def test_a_name_is_loaded_when_it_is_used():
    code = (
        "import sys, medprobclip\n"
        "from medprobclip import OBJECTIVES, get_profile\n"
        "print('torch' in sys.modules)\n"
        "from medprobclip import Gaussian\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    assert fresh(code).split() == ["False", "True", "False"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of a tiny model with its processor."""
    out = tmp_path_factory.mktemp("checkpoint")
    tokenizer = train_tokenizer(["No effusion.", "Small effusion on the left."], 60, 16)
    config = MedProbCLIPConfig(
        vision_config=ResNetConfig(num_channels=1, embedding_size=8, hidden_sizes=[8], depths=[1]),
        text_config=BertConfig(
            vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        ),
        embed_dim=4,
        image_size=16,
    )
    MedProbCLIPModel(config).save_pretrained(out)
    MedProbCLIPProcessor.for_model(config, tokenizer).save_pretrained(out)
    return out


@pytest.mark.parametrize(
    "imports",
    [
        # Many libraries ask whether transformers is there without loading it; others of its names come first.
        # Nor does notebook 01 load it, which looks at data and draws figures.
        "import medprobclip\nfrom importlib.util import find_spec\nassert find_spec('transformers')\n"
        "from medprobclip.data import lookalikes, read_studies\n"
        "from medprobclip.paper.figures import catalogue\n"
        "from medprobclip.workbench import NotebookParameters\n"
        "import sys\nassert 'transformers' not in sys.modules\nfrom transformers import BertModel",
        "from transformers import AutoConfig\nimport medprobclip",
        "from medprobclip import MedProbCLIPModel",
    ],
    ids=["ours first", "theirs first", "a name of ours first"],
)
def test_auto_classes_know_ours_in_whatever_order(imports, folder):
    code = (
        f"{imports}\nfrom transformers import AutoConfig, AutoModel, AutoProcessor\n"
        "for auto in (AutoConfig, AutoModel, AutoProcessor):\n"
        f"    print(type(auto.from_pretrained({str(folder)!r})).__name__)"
    )
    assert fresh(code).split() == ["MedProbCLIPConfig", "MedProbCLIPModel", "MedProbCLIPProcessor"]


def test_type_checkers_are_told():
    assert (PACKAGE / "py.typed").is_file()
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert {"**/*.pyi", "py.typed"} <= set(shipped["medprobclip"])
