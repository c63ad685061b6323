"""A network as a folder that others can load: plain torchvision names, and JSON beside them.

network, config = load_exported("student")
embeddings = network(read_images(["chest.jpg", "chest.dcm"], "student"))
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from cxrfmkd.datasets import decoding
from cxrfmkd.networks import portable
from cxrfmkd.networks.architectures import ARCHITECTURES, classifier_of, empty, stem_of
from cxrfmkd.networks.network import GREY_MEAN, GREY_SD, Network
from cxrfmkd.networks.portable import read_images
from cxrfmkd.networks.weights import reading_weights, write_weights
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write, read_json, write_json
from cxrfmkd.vocabulary.backbones import FIXED_SIZES

__all__ = ["load_exported", "read_images", "write_exported"]

WEIGHTS, CONFIG, PREPROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
# Our line in `portable`, and what it is beside a copy of that module.
IMPORT = "from cxrfmkd.datasets.decoding import decode\n"
IMPORT_THERE = "from images import decode\n"
BILINEAR = 2  # Pillow's number of the filter


def write_exported(folder: Path, network: Network, size: int, aspect: str, about: dict) -> None:
    """Write weights, configurations and the code that loads them, without this package.

    about: what else config.json holds.
    """
    config = describe(network) | {"image_size": size} | about
    header = {"format": "pt"}
    state = {name: value.contiguous() for name, value in plain_state(network, config).items()}
    write_weights(folder / WEIGHTS, save(state, header), sealed=False)
    write_json(folder / CONFIG, config, sealed=False)
    write_json(folder / PREPROCESSOR, preprocessing(network, size, aspect), sealed=False)
    code = Path(portable.__file__).read_text()
    if code.count(IMPORT) != 1:
        raise ValueError(f"{portable.__file__} no longer has the line {IMPORT!r}")
    for name, text in [
        ("modeling.py", code.replace(IMPORT, IMPORT_THERE)),
        ("images.py", Path(decoding.__file__).read_text()),
    ]:
        with atomic_write(folder / name) as partial:
            partial.write_text(text)


def describe(network: Network) -> dict:
    """What builds the network again from torchvision's: the first keys of config.json."""
    with empty(network.architecture):
        plain = ARCHITECTURES[network.architecture]()
    layers = [layer for layer in (network.projection, network.head) if layer is not None]
    return {
        "model_type": "cxr-fmkd",
        "architectures": ["ChestXrayModel"],
        "torch_dtype": "float32",
        "backbone": network.architecture,
        "stem": stem_of(plain),
        "classifier": classifier_of(plain),
        "layers": [[layer.in_features, layer.out_features] for layer in layers],
        "num_channels": 1,
        "input": network.input,
        "fixed_size": FIXED_SIZES.get(network.architecture),
    }


def preprocessing(network: Network, size: int, aspect: str) -> dict:
    """From grey pixels of 0-255 to the network's input, in the words of the Hugging Face hub.

    aspect: is ours; their image processors know `squash` alone.
    """
    scaled = network.input == "normalised"
    return {
        "do_convert_grayscale": True,
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": BILINEAR,
        "aspect": aspect,
        "do_rescale": scaled,
        "rescale_factor": 1 / 255,
        "do_normalize": scaled,
        "image_mean": [GREY_MEAN],
        "image_std": [GREY_SD],
    }


def plain_state(network: Network, config: dict) -> dict[str, Tensor]:
    """The network's tensors under torchvision's names, its layers as the classifier."""
    state = dict(network.backbone.state_dict())
    layers = [layer for layer in (network.projection, network.head) if layer is not None]
    for number, layer in enumerate(layers):
        name = config["classifier"] + (f".{number}" if len(layers) > 1 else "")
        state |= {f"{name}.{k}": value for k, value in layer.state_dict().items()}
    return state


def load_exported(folder: str | Path) -> tuple[Network, dict]:
    """The network in a folder that `cxrfmkd export` wrote, in eval mode, and its config.json."""
    folder = Path(folder)
    if absent := [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]:
        raise InputError(
            f"{folder}: {absent[0]} is not there. Name a folder that `cxrfmkd export` wrote."
        )
    try:
        config = read_json(folder / CONFIG)
        widths = [outputs for _, outputs in config["layers"]]
        projection = widths[0] if config["what"] == "student" or len(widths) > 1 else None
        outputs = widths[-1] if config["what"] == "classifier" else None
        with empty(config["backbone"]):
            network = Network(config["backbone"], projection, outputs, config["input"])
    except KeyError as error:
        raise InputError(f"{folder / CONFIG}: it is not what export writes ({error}).") from None
    with reading_weights(folder / WEIGHTS):
        state = load_file(folder / WEIGHTS)
        ours = {}
        for name, value in state.items():
            inside = name.removeprefix(f"{config['classifier']}.")
            if inside == name:
                ours[f"backbone.{name}"] = value
                continue
            first = inside.startswith("0.") or (len(widths) == 1 and projection is not None)
            ours[f"{'projection' if first else 'head'}.{inside.rpartition('.')[2]}"] = value
        network.load_state_dict(ours, assign=True)
    return network.eval(), config
