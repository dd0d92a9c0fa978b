"""Every byte that a run on one's own tables leaves: no marked word of a report, unless somebody asked."""

import json
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest

from medprobclip.__main__ import main
from medprobclip.data.privacy import LEAST_PATIENTS, WITHHELD
from medprobclip.data.studies import read_studies, write_studies
from medprobclip.training.runs import load_run, train_run

# Each stands in the reports of fewer than LEAST_PATIENTS patients, in upper case, in another kind of place.
SHARED, FOREIGN, LONG, OFTEN, UNREAD, ASIDE, NUMBER, ACCENTED = SECRETS = (
    "ZEBRAWORD7", "QUAGGAWORD", "OKAPIWORD", "TAPIRWORD", "IBEXWORD", "ELANDWORD", "19580403", "YAKWÖRD",
)  # fmt: skip
COMMON = "hartebeest"  # in the reports of LEAST_PATIENTS patients
SMALL = [
    "--vision", "tiny-resnet", "--text", "tiny-bert", "--embed_dim", "8", "--image_size", "32",
    "--max_tokens", "32", "--vocab_size", "300", "--epochs", "2", "--batch_size", "8",
    "--objective", "medprobclip-soft", "--inclusion_weight", "1", "--sentence_drop", "0.2",
    "--sentence_shuffle", "--degraded_share", "0.2",
]  # fmt: skip


def marked(studies):
    """The table with marked words and a column of patients: one a study, but one patient who has eight."""
    studies = studies.assign(subject_id=studies["study_id"])
    if len(studies) > 20:
        studies.loc[20:27, "subject_id"] = "train-20"
        studies.loc[20:27, "impression"] += f" {OFTEN} was told."
        studies.loc[30 : 29 + LEAST_PATIENTS, "findings"] += f" A {COMMON} is seen."
    studies.loc[3:5, "impression"] = f"{SHARED} has no disease in the left base."
    studies.loc[6, "findings"] = f"{FOREIGN} qqqq wwww {FOREIGN}."
    studies.loc[7, "findings"] = "opacity in the left base " * 20 + LONG
    studies.loc[8, "findings"] += f" Compared with {NUMBER}. {ACCENTED} 王 agrees."
    studies["indication"] = f"{UNREAD} coughs."
    return studies


@pytest.fixture(scope="module")
def tables(study_tables, tmp_path_factory):
    """Own tables: every one has marked words, and rows that cannot be used."""
    folder = tmp_path_factory.mktemp("own") / "tables"
    shutil.copytree(study_tables["train"].parent, folder)
    for name in study_tables:
        table = folder / f"{name}.csv"
        write_studies(marked(read_studies(table)), table)
        with table.open("a", encoding="utf-8") as file:
            last = f",{ASIDE} is well.,{ASIDE} is well.,{name}x,{UNREAD}\n"
            file.write(f"{name}-gone,gone-{name}.png,PA" + last)
            file.write(f"{name}-mixed,{ASIDE} has clear lungs.,PA" + last)
            file.write(f"{ASIDE} has clear lungs.,,PA" + last)
            file.write(f"{ASIDE} has clear lungs.,a,b,c\n")
    return {name: folder / f"{name}.csv" for name in study_tables}


def train_arguments(tables, out, *more):
    named = {"train_csv": "train", "val_csv": "validate", "test_csv": "test"}
    places = [word for flag, name in named.items() for word in (f"--{flag}", str(tables[name]))]
    return ["train", *places, "--out", str(out), *SMALL, *more]


def found_in(content: bytes) -> set[str]:
    """Which marked words are in there, in whatever case, as UTF-8, UTF-16 or JSON escapes them."""
    found = set()
    for word in SECRETS:
        for form in {word, word.lower(), word.replace("Ö", "O").lower(), json.dumps(word)[1:-1]}:
            codes = [form.encode(), form.encode("utf-16-le"), form.encode("utf-16-be")]
            if any(code.lower() in content.lower() for code in codes):
                found.add(word)
    return found


def files_with_text(folder: Path) -> dict[str, set[str]]:
    """Every file below a folder that holds a marked word, members of ZIP archives (pickles of torch) too."""
    found: dict[str, set[str]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        contents = [path.read_bytes(), str(path).encode()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        if words := set().union(*map(found_in, contents)):
            found[path.relative_to(folder).as_posix()] = words
    return found


def printed(capfd, arguments) -> str:
    """All that a command says, on both streams and as warnings; it must end well."""
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            main(arguments)
        except SystemExit as stopped:  # `search` says by its code whether it would rather not answer
            if stopped.code not in (None, 0, 3):
                raise
    return "".join(capfd.readouterr()) + "".join(str(warning.message) for warning in told)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("private")
        patch.setenv("MEDPROBCLIP_IMAGES", str(folder / "images"))
        yield folder


def test_a_run_with_every_option_leaves_no_text(tables, place, capfd):
    """Trained, scored and calibrated; then calibrated anew, indexed and asked."""
    out, index = place / "run", place / "index"
    options = ["--quarantine", str(place / "bad.csv"), "--calibrate_share", "0.5"]
    said = printed(capfd, train_arguments(tables, out, *options))
    assert f"have word for word '{WITHHELD}', first train-3: each counts" in said
    assert f"does not know, first '{WITHHELD}' of train-6." in said
    assert f"no word of fewer than {LEAST_PATIENTS} patients" in said
    assert f"validation: {out / 'validate.csv'} holds these studies with the text of their reports" in said
    clean = place / "calibrate.csv"
    write_studies(read_studies(tables["calibrate"], []), clean)
    said += printed(capfd, ["calibrate", "--run", str(out), "--csv", str(clean)])
    test = out / "tables" / "test.csv"
    said += printed(capfd, ["index", str(test), "--run", str(out), "--out", str(index)])
    said += printed(capfd, ["search", str(index), "--text", "opacity in the left base", "--json"])
    film = tables["test"].parent / "test-3-pa.png"
    said += printed(capfd, ["search", str(index), "--image", str(film)])
    assert said.count("test-") > 10  # answers there are
    assert found_in(said.encode()) == set()
    clean.unlink()
    copies = {"run/validate.csv", "run/calibrate.csv", "run/tables/training.csv", "run/tables/test.csv"}
    found = files_with_text(place)
    assert set(found) == copies  # what the docs say: study tables, nothing else
    assert SHARED in found["run/tables/training.csv"]
    rows = (place / "bad.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 4  # of each table: a gone file, prose for a file, no file, four values
    written = {path.name for path in out.iterdir()} | {path.name for path in (out / "checkpoint").iterdir()}
    assert written >= {
        "settings.json", "used.json", "metrics.json", "calibration.json", "history.csv", "tokenizer.json",
        "embeddings.safetensors", "embeddings-calibrate.safetensors", "strangeness.safetensors",
        "states", "metrics.jsonl",
    }  # fmt: skip
    assert list((out / "tensorboard").glob("events.out.*"))
    vocabulary = load_run(out)[1].get_vocab()
    assert COMMON in vocabulary  # the rule leaves what patients have in common
    assert "王" not in vocabulary


def test_what_is_asked_for_is_there(tables, capfd, tmp_path):
    """The same words, once somebody says so: what looks for them above can find them."""
    own = {name: tmp_path / f"{name}.csv" for name in tables}
    for name, table in tables.items():
        write_studies(read_studies(table, []), own[name])
    out, index = tmp_path / "run", tmp_path / "index"
    said = printed(capfd, train_arguments(own, out, "--show_text", "--calibrate_csv", str(own["calibrate"])))
    assert SHARED in found_in(said.encode())
    assert set(found_in((out / "checkpoint" / "tokenizer.json").read_bytes())) >= {SHARED, FOREIGN, OFTEN}
    printed(capfd, ["index", str(own["test"]), "--run", str(out), "--out", str(index), "--with_text"])
    assert any(name.startswith("index/part-") for name in files_with_text(index))
    said = printed(capfd, ["calibrate", "--run", str(out), "--csv", str(own["calibrate"]), "--show_text"])
    assert SHARED in found_in(said.encode())


def test_errors_name_no_text(tables, capfd, tmp_path):
    """Without a quarantine the bad rows refuse the tables, in one list."""
    with pytest.raises(SystemExit) as stopped:
        main(train_arguments(tables, tmp_path / "run"))
    said = f"{stopped.value.code}{''.join(capfd.readouterr())}"
    assert said.count("file not found in 2 rows") == 3
    assert found_in(said.encode()) == set()


def test_a_vocabulary_is_part_of_a_runs_settings(study_tables, tiny_profile, tmp_path):
    """Who asks for text later keeps the vocabulary without rare words."""
    tables = study_tables["train"], study_tables["validate"]
    train_run(*tables, tmp_path, tiny_profile)
    settings = (tmp_path / "settings.json").read_text()
    assert json.loads(settings)["vocabulary"] == {"least_patients": LEAST_PATIENTS}
    words = load_run(tmp_path)[1].get_vocab()
    assert len(train_run(*tables, tmp_path, tiny_profile, show_text=True)) == 3
    assert (tmp_path / "settings.json").read_text() == settings
    assert load_run(tmp_path)[1].get_vocab() == words
