"""`cxrfmkd export`: a folder or a file that gives a model's own numbers without this package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import made_images
import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
import yaml
from PIL import Image
from safetensors.torch import load_file

from cxrfmkd.cli import main
from cxrfmkd.commands import programs, whole_network
from cxrfmkd.datasets.decoding import decode
from cxrfmkd.networks.exported import load_exported, read_images
from cxrfmkd.networks.layers import Linear
from cxrfmkd.networks.network import Network, load, load_student
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_json
from cxrfmkd.vocabulary.findings import FINDINGS

made_images.add_tiny_backbone()

# Uses torch and numpy alone, as whoever got the file would.
OUTSIDE = """
import sys
import numpy, torch
assert not any("cxrfmkd" in name for name in sys.modules)
program = torch.export.load(sys.argv[1])
images = torch.from_numpy(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], program.module()(images).detach().numpy())
assert not any("cxrfmkd" in name for name in sys.modules)
"""


@pytest.fixture
def folder(tmp_path):
    """A student of a loss with its selected seed, beside packed images of 48 pixels."""
    torch.manual_seed(0)
    run = tmp_path / "results/chexpert/students/mse/seed41"
    student = Network("tiny", 6).train()
    student(
        torch.randint(0, 256, (8, 48, 48), dtype=torch.uint8)
    )  # moves the batch-norm statistics
    student.save(run / "weights.safetensors", {"loss": "mse", "seed": "41"})
    write_json(run / "run.json", {"loss": "mse", "seed": 41, "images": {"train": 9}, "spec": {}})
    write_json(run.parent / "selected.json", {"seed": 41, "weights": "seed41/weights.safetensors"})
    write_json(tmp_path / "results/chexpert/images/meta.json", {"settings": {"size": 48}})
    return run


def images(n: int, size: int = 48) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, size, size), np.uint8)


def test_the_file_gives_the_student_s_numbers_without_this_package(folder, tmp_path, capsys):
    main(["export", str(folder), "--out", str(tmp_path / "student.pt2")])
    np.save(tmp_path / "images.npy", images(5))
    command = [sys.executable, "-c", OUTSIDE, "student.pt2", "images.npy", "found.npy"]
    subprocess.run(command, check=True, cwd=tmp_path, env={})
    with torch.no_grad():
        expected = load_student(folder / "weights.safetensors")(torch.from_numpy(images(5)))
    # What `export` itself allows of two float32 passes, relative to the largest number.
    error = programs.TOLERANCE * float(expected.abs().max())
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=0, atol=error)
    assert "uint8 (n, 48, 48)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "../selected.json", "..", "weights.safetensors"])
def test_a_student_may_be_named_by_folder_loss_or_file(folder, name):
    run = whole_network.find_run(folder / name)
    assert run.weights.samefile(folder / "weights.safetensors")
    assert run.facts == {"dataset": "chexpert", "loss": "mse", "seed": 41}
    assert run.results.samefile(folder.parents[3])


def test_the_file_says_what_it_is_and_names_no_place(folder, tmp_path):
    main(["export", str(folder), "--out", str(tmp_path / "student.pt2"), "--size", "64"])
    inside = {"about.json": ""}
    program = torch.export.load(tmp_path / "student.pt2", extra_files=inside).module()
    about = json.loads(inside["about.json"])
    assert about["takes"].startswith("uint8 (n, 64, 64)")
    assert about["gives"].startswith("float32 (n, 6)")
    assert about["run"] == {"loss": "mse", "seed": 41, "images": {"train": 9}}
    assert str(tmp_path) not in inside["about.json"]
    assert program(torch.from_numpy(images(1, 64))).shape == (1, 6)


def test_without_packed_images_the_thesis_s_size_counts(folder, tmp_path, capsys):
    (folder.parents[2] / "images/meta.json").unlink()
    main(["export", str(folder), "--out", str(tmp_path / "student.pt2")])
    assert "uint8 (n, 224, 224)" in capsys.readouterr().out


def test_a_program_that_gives_other_numbers_is_not_written(folder, tmp_path, monkeypatch):
    other = Network("tiny", 6).eval()
    portable = programs.portable
    monkeypatch.setattr(programs, "portable", lambda student: portable(other))
    with pytest.raises(SystemExit):
        main(["export", str(folder), "--out", str(tmp_path / "student.pt2")])
    assert not list(tmp_path.glob("*student.pt2"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (". --out student.onnx", r"is named \.pt2"),
        ("nowhere --to new", r"neither weights\.safetensors nor selected\.json"),
        (". --to results", "it is there and no exported model"),
    ],
)
def test_what_cannot_be_exported_is_one_clear_message(folder, tmp_path, capsys, words, message):
    name, flag, target = words.split()
    with pytest.raises(SystemExit):
        main(["export", str(folder / name), flag, str(tmp_path / target)])
    assert re.search(message, capsys.readouterr().err)


# --- the folder

# As whoever got the folder would: this package cannot be imported.
ELSEWHERE = """
import sys
sys.modules["cxrfmkd"] = None
import numpy
from modeling import load, read_images
model = load(".")
images = read_images(sys.argv[2:])
numpy.save(sys.argv[1], model(images).detach().numpy())
numpy.save("images.npy", images.numpy())
assert not {"snakemake", "pandas", "tensorflow"} & set(sys.modules)
"""


def save_run(folder: Path, network: Network, **facts) -> Path:
    """A run of a real torchvision network, whose batch-norm statistics have moved."""
    torch.manual_seed(0)
    with torch.no_grad():
        network.train()(torch.from_numpy(images(8)))
    network.eval().save(folder / "weights.safetensors")
    write_json(folder / "run.json", {"seed": 41, "images": {"train": 9}} | facts)
    meta = {"settings": {"size": 48, "aspect": "pad"}}
    write_json(folder.parents[2] / "images/meta.json", meta)
    teacher = {"name": "A teacher", "variant": "cxrfm-v1", "licence": "Terms: of theirs"}
    write_json(folder.parents[2] / "teacher/meta.json", teacher | {"title": "Title"})
    return folder


def student_run(tmp_path) -> Path:
    folder = tmp_path / "results/chexpert/students/mse/seed41"
    return save_run(folder, Network("mobilenet_v3_small", 6), loss="mse")


def classifier_run(tmp_path) -> Path:
    folder = tmp_path / "results/chexpert/models/cxr-fmkd-fft.mse/seed41"
    return save_run(folder, Network("shufflenet_v2_x0_5", 6, 14, input="raw"))


def raw_images(folder: Path) -> list[str]:
    """A grey PNG, a colour JPEG and a 16-bit PNG, none of them square."""
    folder.mkdir()
    Image.fromarray(images(70)[:, :, 0]).save(folder / "a.png")
    Image.fromarray(images(60)[:, :, :3].copy()).save(folder / "b.jpg")
    Image.fromarray(images(50)[:, :, 0].astype(np.uint16) * 16).save(folder / "c.png")
    return [str(folder / name) for name in ("a.png", "b.jpg", "c.png")]


@pytest.mark.parametrize("make", [student_run, classifier_run])
def test_the_folder_gives_the_model_s_numbers_without_this_package(make, tmp_path):
    run, raw = make(tmp_path), raw_images(tmp_path / "raw")
    main(["export", str(run), "--to", str(tmp_path / "new")])
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "found.npy"), *raw]
    subprocess.run(command, check=True, cwd=tmp_path / "new", env={})
    pixels = np.load(tmp_path / "new/images.npy")
    np.testing.assert_array_equal(pixels, [decode(Path(p), 48, "pad").pixels for p in raw])
    with torch.no_grad():
        expected = load(run / "weights.safetensors")(torch.from_numpy(pixels))
        network, config = load_exported(tmp_path / "new")
        again = network(read_images(raw, tmp_path / "new"))
    assert torch.equal(again, expected)
    error = programs.TOLERANCE * float(expected.abs().max())
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=0, atol=error)
    assert config["what"] == ("student" if make is student_run else "classifier")


def test_the_weights_have_torchvision_s_names(tmp_path):
    main(["export", str(student_run(tmp_path)), "--to", str(tmp_path / "new")])
    state = load_file(tmp_path / "new/model.safetensors")
    plain = torchvision.models.mobilenet_v3_small(num_classes=6)
    assert set(state) == set(plain.state_dict())
    different = {k for k, v in plain.state_dict().items() if v.shape != state[k].shape}
    assert different == {"features.0.0.weight"}  # one channel in place of three


def test_no_file_of_the_folder_holds_a_pickle(tmp_path):
    main(["export", str(student_run(tmp_path)), "--to", str(tmp_path / "new")])
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names >= {"README.md", "config.json", "model.pt2", "model.safetensors", "modeling.py"}
    assert not [name for name in names if name.startswith(".")]  # seals are the study's own
    contents = [path.read_bytes() for path in (tmp_path / "new").iterdir()]
    with zipfile.ZipFile(tmp_path / "new/model.pt2") as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    # The images that it was traced with would be pickled: their file is empty.
    assert not [name for name, b in inside.items() if b and name.endswith((".pkl", ".pt"))]
    contents += inside.values()
    for content in contents:
        assert not re.match(rb"\x80[\x02-\x05]", content)
        assert b"data.pkl" not in content


def test_the_card_says_what_the_study_knows(tmp_path):
    run = student_run(tmp_path)
    tables = tmp_path / "results/tables"
    tables.mkdir()
    keys = "dataset,source,strategy,model,loss,population,metric,finding,average,low,high\n"
    rows = [
        "chexpert,chexpert,own,cxr-fmkd-lp,mse,natural,auc_roc,Macro,0.8123,0.7,0.9",
        "chexpert,chexpert,own,cxr-fmkd-lp,cosine,natural,auc_roc,Macro,0.6666,0.7,0.9",
        "mimic,mimic,own,cxr-fmkd-lp,mse,natural,auc_roc,Macro,0.5555,0.7,0.9",
    ]
    (tables / "performance_detailed.csv").write_text(keys + "\n".join(rows))
    (tables / "bias.csv").write_text(
        "dataset,model,loss,scored,score,null_low,null_high,d_combined,d_combined_low,"
        "d_combined_high\nchexpert,cxr-fmkd-lp,mse,sex,31,0,12,0.25,0.1,0.4\n"
    )
    (tables / "students.csv").write_text(
        "dataset,loss,what,seed,cosine\nchexpert,mse,student,41,0.987\n"
        "chexpert,mse,student,42,0.111\n"
    )
    main(["export", str(run), "--to", str(tmp_path / "new")])
    card = (tmp_path / "new/README.md").read_text()
    _, header, body = card.split("---\n", 2)
    about = yaml.safe_load(header)
    assert about["license_name"] == "Terms: of theirs"
    assert about["datasets"] == ["chexpert"]
    assert about["pipeline_tag"] == "image-feature-extraction"
    for words in (
        "A teacher (variant `cxrfm-v1`, Title)",
        "Not for clinical",
        "padded with black to 48 x 48",
        "| loss | mse |",
        "| seed | 41 |",
        "| images | 9 train |",
        "| cosine with the teacher | 0.987 |",
        "| CXR-FMKD-LP | Macro | 0.812 | 0.700 to 0.900 |",
        "| CXR-FMKD-LP | sex | 31 | 0 to 12 | 0.25 (0.10 to 0.40) |",
    ):
        assert words in body, words
    for other in ("0.667", "0.556", "0.111", str(tmp_path)):
        assert other not in card


def save_head(run: Path, network: Network, ids: list[str], pixels: np.ndarray) -> None:
    """A run whose file holds the head alone, with the logits of the whole network."""
    head = network.head
    Linear(head.weight.detach().numpy(), head.bias.detach().numpy()).save(
        run / "weights.safetensors", {"architecture": "linear"}
    )
    with torch.no_grad():
        table = pd.DataFrame(network(torch.from_numpy(pixels)).numpy(), columns=list(FINDINGS))
    table.insert(0, "image_id", ids)
    table.to_parquet(run / "predictions.parquet")
    write_json(run / "run.json", {"seed": 41})


def probe_run(tmp_path) -> tuple[Path, Network]:
    """A linear probe on the student of its seed; the student of another seed is selected."""
    dataset = tmp_path / "results/chexpert"
    for seed in (41, 42):
        torch.manual_seed(seed)
        Network("tiny", 6).save(dataset / f"students/mse/seed{seed}/weights.safetensors")
    write_json(dataset / "students/mse/selected.json", {"weights": "seed42/weights.safetensors"})
    index = pd.DataFrame({"image_id": list("abcdef")})
    meta = {"settings": {"size": 48, "aspect": "squash"}}
    KeyedArray(images(6), index, meta, "images").save(dataset / "images")
    network = load_student(dataset / "students/mse/seed41/weights.safetensors")
    network.with_head(14).eval()
    run = dataset / "models/cxr-fmkd-lp.mse/seed41"
    save_head(run, network, list("abcdef"), images(6))
    return run, network


def test_a_linear_probe_is_put_on_the_student_that_gives_its_own_logits(tmp_path):
    run, expected = probe_run(tmp_path)
    network = whole_network.whole_network(whole_network.find_run(run))
    with torch.no_grad():
        pixels = torch.from_numpy(images(6))
        torch.testing.assert_close(network(pixels), expected(pixels))


def test_a_probe_whose_student_is_gone_or_another_is_refused(tmp_path):
    run, _ = probe_run(tmp_path)
    student = tmp_path / "results/chexpert/students/mse"
    (student / "seed41/weights.safetensors").unlink()
    with pytest.raises(InputError, match="does not give the logits"):
        whole_network.whole_network(whole_network.find_run(run))
    (student / "selected.json").unlink()
    with pytest.raises(InputError, match="is not there"):
        whole_network.whole_network(whole_network.find_run(run))
    teacher = run.parents[1] / "cxr-fm-lp/seed41"
    shutil.copytree(run, teacher)
    with pytest.raises(InputError, match="no image network"):
        whole_network.whole_network(whole_network.find_run(teacher))


@pytest.mark.parametrize("model", ["cxr-fmkd-fft", "cxr-fmkd-direct-fft", "cxr-fmkd-lp"])
@pytest.mark.parametrize("projection", ["keep", "discard"])
def test_a_probe_of_a_transfer_is_put_on_the_network_of_its_source(tmp_path, model, projection):
    student = probe_run(tmp_path)[0].parents[2] / "students/mse/seed41/weights.safetensors"
    source = tmp_path / f"results/chexpert/models/{model}.mse/seed41/weights.safetensors"
    network = load_student(student)
    if model.endswith("fft"):
        network.with_head(14, model == "cxr-fmkd-fft").save(source, {"seed": "41"})
        network = load(source)
    index = pd.DataFrame({"image_id": list("uvwxyz")})
    pixels = images(6)[::-1].copy()
    KeyedArray(pixels, index, {"settings": {"size": 48}}, "images").save(
        tmp_path / "results/mimic/images"
    )
    run = tmp_path / f"results/chexpert-to-mimic/linear-probe/{model}.mse/seed41"
    torch.manual_seed(7)
    network.with_head(14, projection == "keep" and network.projection is not None).eval()
    save_head(run, network, list("uvwxyz"), pixels)
    found = whole_network.whole_network(whole_network.find_run(run))
    with torch.no_grad():
        torch.testing.assert_close(
            found(torch.from_numpy(pixels)), network(torch.from_numpy(pixels))
        )


def test_a_transfer_without_its_source_or_of_the_teacher_is_refused(tmp_path):
    run, _ = probe_run(tmp_path)
    moved = tmp_path / "results/chexpert-to-mimic/linear-probe/cxr-fmkd-fft.mse/seed41"
    shutil.copytree(run, moved)
    with pytest.raises(InputError, match=r"models/cxr-fmkd-fft\.mse: the network .* not there"):
        whole_network.whole_network(whole_network.find_run(moved))
    teacher = tmp_path / "results/chexpert-to-mimic/linear-probe/cxr-fm-lp/seed41"
    shutil.copytree(run, teacher)
    with pytest.raises(InputError, match="no image network"):
        whole_network.whole_network(whole_network.find_run(teacher))


def test_onnx_gives_the_same_numbers(tmp_path):
    for name in programs.ONNX:
        pytest.importorskip(name)
    main(["export", str(student_run(tmp_path)), "--to", str(tmp_path / "new")])
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "new/model.onnx"))
    (found,) = session.run(None, {"images": images(5)})
    with torch.no_grad():
        expected = load_exported(tmp_path / "new")[0](torch.from_numpy(images(5)))
    error = programs.ONNX_TOLERANCE * float(expected.abs().max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=error)


def test_without_onnx_the_folder_is_whole_and_says_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(programs, "onnx_is_installed", lambda: False)
    main(["export", str(student_run(tmp_path)), "--to", str(tmp_path / "new")])
    assert "pip install 'cxrfmkd[onnx]'" in capsys.readouterr().out
    assert not (tmp_path / "new/model.onnx").exists()
    assert "onnx" not in (tmp_path / "new/README.md").read_text()
    main(["export", str(student_run(tmp_path)), "--to", str(tmp_path / "new")])  # in its place


# --- embed --model


def test_a_folder_of_raw_images_is_embedded_by_an_exported_student(tmp_path):
    raw = raw_images(tmp_path / "raw")
    (tmp_path / "raw/broken.png").write_text("no image")
    main(["export", str(student_run(tmp_path)), "--to", str(tmp_path / "new")])
    words = ["embed", str(tmp_path / "raw"), "--model", str(tmp_path / "new"), "--out"]
    main([*words, str(tmp_path / "array")])
    main([*words, str(tmp_path / "table.parquet")])
    array = KeyedArray.open(tmp_path / "array")
    table = pd.read_parquet(tmp_path / "table.parquet")
    with torch.no_grad():
        expected = load_exported(tmp_path / "new")[0](read_images(raw, tmp_path / "new"))
    torch.testing.assert_close(torch.from_numpy(array.take(["a", "b", "c"])), expected)
    np.testing.assert_array_equal(np.stack(table.embedding), array.take(table.image_id))
    for listed in ("array/excluded.csv", "table.excluded.csv"):
        assert pd.read_csv(tmp_path / listed).image_id.tolist() == ["broken"]


def test_an_exported_classifier_writes_a_probability_for_every_finding(tmp_path):
    raw = raw_images(tmp_path / "raw")
    main(["export", str(classifier_run(tmp_path)), "--to", str(tmp_path / "new")])
    out = tmp_path / "table.csv"
    main(["embed", str(tmp_path / "raw"), "--model", str(tmp_path / "new"), "--out", str(out)])
    table = pd.read_csv(out).set_index("image_id")
    assert list(table) == list(FINDINGS)
    with torch.no_grad():
        logits = load_exported(tmp_path / "new")[0](read_images(raw, tmp_path / "new"))
    np.testing.assert_allclose(table.loc[["a", "b", "c"]], logits.sigmoid(), rtol=1e-5)


def test_a_folder_that_is_no_export_is_one_clear_message(tmp_path, capsys):
    raw_images(tmp_path / "raw")
    for words, message in [
        (["--model", str(tmp_path)], "model.safetensors is not there"),
        ([], "say who embeds: --model FOLDER"),
    ]:
        with pytest.raises(SystemExit):
            main(["embed", str(tmp_path / "raw"), *words, "--out", str(tmp_path / "out")])
        assert message in capsys.readouterr().err


def several_teachers_run(tmp_path) -> Path:
    """A student of two teachers; the second's projection is the last three of nine outputs."""
    run = student_run(tmp_path)
    network = Network("mobilenet_v3_small", 9).eval()
    network.teachers = {
        "teacher": {"dimension": 6, "name": "A teacher", "variant": "cxrfm-v1"},
        "other": {"dimension": 3, "name": "Another", "variant": "x", "licence": "Theirs too"},
    }
    network.save(run / "weights.safetensors")
    other = run.parents[2] / "teachers/other/meta.json"
    write_json(other, {"name": "Another", "variant": "x", "licence": "Theirs too", "title": "X"})
    return run


def test_of_several_teachers_the_export_has_the_one_that_is_asked_for(tmp_path, capsys):
    run = several_teachers_run(tmp_path)
    tables = tmp_path / "results/tables"
    tables.mkdir()
    (tables / "students.csv").write_text(
        "dataset,loss,teacher,what,seed,cosine\nchexpert,mse,A teacher,student,41,0.987\n"
        "chexpert,mse,Another,student,41,0.876\n"
    )
    for number, (teacher, width) in enumerate([([], 6), (["--teacher", "Another"], 3)]):
        new = tmp_path / f"new{number}"
        main(["export", str(run), "--to", str(new), *teacher])
        network, config = load_exported(new)
        assert network.projection.out_features == width
        said = capsys.readouterr().out
        assert "reproduces teacher (6 numbers), other (3 numbers)" in said
        assert config["study"]["teacher"] == ("other" if teacher else "teacher")
        card = (new / "README.md").read_text()
        assert (
            yaml.safe_load(card.split("---\n")[1])["license_name"] == "Terms: of theirs; Theirs too"
        )
        assert "| A teacher | cxrfm-v1 | 6 | Terms: of theirs |" in card
        assert "| Another | x | 3 | Theirs too |" in card
        assert f"reproduces the embeddings of {'Another' if teacher else 'A teacher'}" in card
        assert card.index("## Agreement with A teacher") < card.index("0.987")
        assert card.index("## Agreement with Another") < card.index("0.876")


def test_a_teacher_that_a_model_has_not_is_one_clear_message(tmp_path):
    for folder, message in (
        (several_teachers_run(tmp_path / "a"), "none of its teachers is 'third'"),
        (student_run(tmp_path / "b"), "not of several teachers"),
    ):
        run = whole_network.find_run(folder)
        with pytest.raises(InputError, match=message):
            whole_network.whole_network(run, "third")
