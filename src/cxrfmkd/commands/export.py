"""Export a student or a classifier for others: images in, embeddings or logits out.

MODEL is the folder of a run (weights.safetensors, run.json), the folder of its loss or
selected.json (the selected seed). --to writes a folder as the Hugging Face hub expects it:
model.safetensors with torchvision's names, config.json, preprocessor_config.json, modeling.py and
images.py that load it without this package, README.md (a model card filled from the study),
model.pt2, and model.onnx where the extra `onnx` is installed. --out writes model.pt2 alone. Every
one is read back and compared before it appears; none holds a pickle.

    cxrfmkd export results/chexpert/students/mse --to student
    cxrfmkd export results/chexpert/models/cxr-fmkd-direct-fft.mse --to classifier
    cxrfmkd export results/chexpert/students/mse --out student.pt2
    cxrfmkd export results/chexpert/students/mse --to student --teacher rad-dino

Elsewhere, in that folder, from raw JPEG, PNG or DICOM:

    from modeling import load, read_images
    model = load(".")
    embeddings = model(read_images(["chest.jpg"]))  # (1, 1376)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cxrfmkd import __version__
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_folder, read_json
from cxrfmkd.runtime.seals import sha256

SIZE = 224  # the thesis's, where no packed images tell another
RUN_FACTS = ("loss", "seed", "finished", "images", "scales", "best", "versions", "code")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run's folder, weights or selected.json")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=Path, metavar="FOLDER", help="folder to write")
    where.add_argument("--out", type=Path, metavar="FILE", help="file to write, named .pt2")
    add(
        "--teacher",
        default="",
        help="of a student of several teachers, the one whose embedding it gives; else the first",
    )
    add(
        "--size",
        type=int,
        help=f"height and width of its images; the study's if they are there, else {SIZE}",
    )


def main(args: argparse.Namespace) -> None:
    """Write the folder or the file, and print what the model takes and gives."""
    from cxrfmkd.commands import programs, whole_network

    if args.out and args.out.suffix != ".pt2":
        raise InputError(f"--out {args.out}: a program of torch.export is named .pt2.")
    if args.to and args.to.exists() and not (args.to / "config.json").is_file():
        raise InputError(f"--to {args.to}: it is there and no exported model. Name a new folder.")
    run = whole_network.find_run(args.model)
    network = whole_network.whole_network(run, args.teacher)
    size = args.size or run.images().get("size", SIZE)
    description = describe(run.weights, network, size, args.teacher)
    if args.out:
        difference = programs.write_program(args.out, network, size, description)
    else:
        difference = write_folder(args.to, run, network, size, description)
    print(
        f"{args.out or args.to}: {description['takes']} -> {description['gives']}; largest "
        f"difference to {run.weights}: {difference:.1g}"
    )
    if len(teachers := description.get("teachers", {})) > 1:
        each = (f"{name} ({facts['dimension']} numbers)" for name, facts in teachers.items())
        print(
            f"It gives the embedding of {description['teacher']}; the student reproduces "
            f"{', '.join(each)}. --teacher NAME chooses."
        )


def write_folder(folder: Path, run, network, size: int, description: dict) -> float:
    """Write the whole folder at once; the largest difference of its programs."""
    from cxrfmkd.commands import model_card, programs
    from cxrfmkd.networks.exported import describe as build
    from cxrfmkd.networks.exported import write_exported

    aspect = run.images().get("aspect", "squash")
    what = "student" if network.head is None else "classifier"
    about: dict = {"what": what, "study": description}
    if what == "classifier":
        about["id2label"] = {str(i): finding for i, finding in enumerate(network.findings)}
    onnx = programs.onnx_is_installed()
    with atomic_folder(folder) as partial:
        write_exported(partial, network, size, aspect, about)
        facts = build(network) | about | {"image_size": size, "aspect": aspect}
        (partial / "README.md").write_text(model_card.card(run, facts, onnx))
        difference = programs.write_program(partial / "model.pt2", network, size, description)
        if onnx:
            other = programs.write_onnx(partial / "model.onnx", network, size)
            difference = max(difference, other)
        else:
            print("No model.onnx: the extra is not installed (pip install 'cxrfmkd[onnx]').")
    return difference


def describe(weights: Path, network, size: int, teacher: str = "") -> dict:
    """What it takes and gives, and of the run aggregates alone, no path and no image.

    Of a student of several teachers also each of these, and whose embedding it gives.
    """
    from cxrfmkd.networks.network import teachers_of
    from cxrfmkd.networks.projections import is_called

    teachers = teachers_of(weights) if network.head is None else {}
    called = [name for name in teachers if not teacher or is_called(teacher, name, teachers)]
    facts = read_json(run) if (run := weights.with_name("run.json")).is_file() else {}
    layer = network.projection if network.head is None else network.head
    what = "embeddings" if network.head is None else "logits of findings"
    return {
        "what": "a student that reproduces a teacher's embeddings"
        if network.head is None
        else "a classifier of findings",
        "takes": f"uint8 (n, {size}, {size}), images of 0-255",
        "gives": f"float32 (n, {layer.out_features}), {what}",
        "architecture": network.architecture,
        "weights": sha256(weights),
        "cxrfmkd": __version__,
        "run": {name: facts[name] for name in RUN_FACTS if name in facts},
    } | ({"teacher": called[0], "teachers": teachers} if teachers else {})
