"""Image encoders as teachers: programs of torch, ONNX, transformers, timm and open_clip.

Each test writes a tiny model of the library with fixed random weights; the oracle is that library,
asked directly.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_teachers import write_images
from PIL import Image
from torch import nn

from cxrfmkd.cli import main
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed
from cxrfmkd.teacher.encoder import pool_outputs
from cxrfmkd.teacher.preprocessing import read_preprocessing

# Sums of some hundred float32 products of order 1, in any order.
ROUNDING = 1e-4
SIZE = 32
GREY = {"size": SIZE, "image_mean": [0.5], "image_std": [0.25]}


class Tiny(nn.Module):
    """(n, channels, 32, 32) -> (n, 5)."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 3, 8, 4), nn.Tanh(), nn.Flatten(), nn.Linear(147, 5)
        )

    def forward(self, images):
        return self.layers(images)


def made(kind: type[nn.Module] = Tiny, *args) -> nn.Module:
    torch.manual_seed(3)
    return kind(*args).eval()


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    return write_images(tmp_path / "images", 5)


def embedded(tmp_path, images, dimension=5, out="out", failed=0.0, shard=2, **source):
    settings = {"variant": "tiny", **source} | {"path": str(source["path"])}
    declared = {"title": "a tiny encoder", "licence": "made for a test"}
    teacher = Teacher(dimension=dimension, workers=1, shard=shard, failed=failed, **declared)
    folders = tmp_path / "images", settings, teacher, tmp_path / out, tmp_path / f"{out}-shards"
    return embed(images, *folders)


def pixels(tmp_path: Path, images: pd.DataFrame, size: int = SIZE) -> torch.Tensor:
    """The images as GREY wants them: (n, 1, size, size)."""
    arrays = [
        np.asarray(Image.open(tmp_path / "images" / path).resize((size, size), 2), np.float32)
        for path in images.path
    ]
    return (torch.from_numpy(np.stack(arrays))[:, None] / 255 - 0.5) / 0.25


def exported(folder: Path, model: nn.Module, channels: int = 1, config: dict | None = GREY) -> Path:
    folder.mkdir(exist_ok=True)
    example = torch.zeros(2, channels, SIZE, SIZE)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, folder / "model.pt2")
    if config:
        (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder / "model.pt2"


def test_exported_program_gives_its_vectors_whatever_the_batch(tmp_path, images):
    model, path = made(), exported(tmp_path / "model", made())
    expected = model(pixels(tmp_path, images)).detach().numpy()
    one = embedded(tmp_path, images, source="torch", path=path)
    assert np.allclose(one.take(images.image_id), expected, atol=ROUNDING)
    three = embedded(tmp_path, images, source="torch", path=path, batch=3, shard=9, out="batch")
    assert np.allclose(three.take(images.image_id), expected, atol=ROUNDING)
    assert one.meta["title"] == "a tiny encoder"
    assert one.meta["licence"] == "made for a test"
    assert one.meta["preprocessing"]["size"] == [SIZE, SIZE]
    assert len(one.meta["model"]) == 64


def test_torchscript_with_three_channels_sees_grey_in_each(tmp_path, images):
    model = made(Tiny, 3)
    path = tmp_path / "model.pt"
    torch.jit.trace(model, torch.zeros(1, 3, SIZE, SIZE)).save(path)
    config = {
        "size": {"height": SIZE, "width": SIZE},
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    array = embedded(tmp_path, images, source="torch", path=path)
    expected = model(pixels(tmp_path, images).expand(-1, 3, -1, -1)).detach().numpy()
    assert np.allclose(array.take(images.image_id), expected, atol=ROUNDING)


def test_program_of_one_image_a_call_is_fed_one_by_one(tmp_path, images):
    model = made()
    program = torch.export.export(model, (torch.zeros(1, 1, SIZE, SIZE),))
    torch.export.save(program, tmp_path / "model.pt2")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(GREY))
    array = embedded(tmp_path, images, source="torch", path=tmp_path / "model.pt2", batch=4)
    expected = model(pixels(tmp_path, images)).detach().numpy()
    assert np.allclose(array.take(images.image_id), expected, atol=ROUNDING)
    assert array.meta["batch"] == 1


class BatchMean(Tiny):
    """Mixes the images of a batch."""

    def forward(self, images):
        outputs = super().forward(images)
        return outputs + outputs.mean(0)


def test_model_that_mixes_its_batch_is_fed_one_by_one(tmp_path, images):
    path = exported(tmp_path / "model", made(BatchMean))
    array = embedded(tmp_path, images, source="torch", path=path, batch=4)
    expected = 2 * made()(pixels(tmp_path, images)).detach().numpy()
    assert np.allclose(array.take(images.image_id), expected, atol=ROUNDING)


class Blind(Tiny):
    def forward(self, images):
        return super().forward(0 * images)


def test_unusable_models_are_refused_with_what_to_do(tmp_path, images):
    def refused(message: str, path: Path, **source) -> None:
        with pytest.raises(InputError, match=message):
            embedded(tmp_path, images, **{"source": "torch", "path": path, **source})

    path = exported(tmp_path / "model", made())
    refused("different images have the same embedding", exported(tmp_path / "blind", made(Blind)))
    refused("dimension is 6. Set teacher.dimension: 5", path, dimension=6)
    refused("no such file. Correct teacher.path", tmp_path / "nothing.pt2")
    bare = exported(tmp_path / "bare", made(), config=None)
    refused("nothing says what the model expects", bare)
    colour = exported(tmp_path / "colour", made(Tiny, 3), channels=3)
    refused("refuses an image .*number of channels", colour)
    pickled = tmp_path / "model" / "pickled.pt"
    torch.save(made(), pickled)
    refused("a program of torch.export .* is needed, and the file is an archive of torch", pickled)
    pointer = tmp_path / "model" / "pointer.pt2"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    refused("Git LFS pointer", pointer)
    if not torch.cuda.is_available():
        refused("torch sees no GPU", path, device="gpu")


def test_unreadable_image_is_excluded_and_named_nowhere(tmp_path, images):
    (tmp_path / "images" / images.path[1]).write_bytes(b"no image")
    path = exported(tmp_path / "model", made())
    array = embedded(tmp_path, images, source="torch", path=path, failed=0.5)
    assert array.meta["excluded"] == [images.image_id[1]]
    assert len(array) == 4


def test_killed_extraction_goes_on_from_its_shards(tmp_path, images):
    path = exported(tmp_path / "model", made())
    whole = embedded(tmp_path, images, source="torch", path=path, out="whole")
    (tmp_path / "images" / images.path[4]).rename(tmp_path / "aside")
    with pytest.raises(InputError):
        embedded(tmp_path, images, source="torch", path=path)
    (tmp_path / "aside").rename(tmp_path / "images" / images.path[4])
    kept = sorted((tmp_path / "out-shards").glob("*.parquet"))
    stamps = [file.stat().st_mtime_ns for file in kept[:2]]
    resumed = embedded(tmp_path, images, source="torch", path=path)
    assert [file.stat().st_mtime_ns for file in kept[:2]] == stamps
    assert np.array_equal(resumed.data, whole.data)


CONFIGS = {
    "pads": (GREY | {"do_pad": True}, "asks for do_pad"),
    "two channels": (GREY | {"image_mean": [1, 2], "image_std": [1, 2]}, "1 or 3 numbers"),
    "deviation of 0": (GREY | {"image_std": [0]}, "std not 0"),
    "a size of words": (GREY | {"size": "large"}, "no preprocessor_config.json that can be used"),
    "no deviation": ({"size": 8, "image_mean": [0.5]}, "std not 0"),
}


@pytest.mark.parametrize(("config", "message"), CONFIGS.values(), ids=CONFIGS)
def test_preprocessing_that_cannot_be_is_refused(tmp_path, config, message):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        read_preprocessing(path)


def test_shortest_edge_and_centre_crop_are_those_of_torchvision(tmp_path):
    from torchvision.transforms import v2

    path = tmp_path / "preprocessor_config.json"
    config = {"size": {"shortest_edge": 20}, "crop_size": 16, "do_center_crop": True, "resample": 3}
    path.write_text(json.dumps(config | {"image_mean": [0.4], "image_std": [0.2]}))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8))
    steps = [v2.Resize(20, v2.InterpolationMode.BICUBIC), v2.CenterCrop(16)]
    expected = np.asarray(v2.Compose(steps)(image), np.float32)
    ours = read_preprocessing(path)(image)
    assert ours.shape == (1, 16, 16)
    assert np.allclose(ours[0], (expected / 255 - 0.4) / 0.2, atol=1e-6)


def test_pooling_is_over_what_it_says():
    tokens = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    assert np.array_equal(pool_outputs(tokens, "cls"), tokens[:, 0])
    assert np.allclose(pool_outputs(tokens, "mean", 1), tokens[:, 1:].mean(1), atol=1e-6)
    assert np.array_equal(pool_outputs(tokens, "flatten"), tokens.reshape(2, 15))
    feature_map = tokens.reshape(2, 3, 5, 1)
    assert np.allclose(pool_outputs(feature_map, "mean"), feature_map.mean((2, 3)), atol=1e-6)
    with pytest.raises(ValueError, match="no vector, tokens or map"):
        pool_outputs(tokens[0, 0], "mean")


# --- libraries of the extra `teachers`


def test_onnx_model_gives_what_its_numbers_say(tmp_path, images):
    onnx = pytest.importorskip("onnx", reason="needs the extra teachers")
    pytest.importorskip("onnxruntime", reason="needs the extra teachers")
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).standard_normal((SIZE * SIZE, 5)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["vector"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(GREY))
    array = embedded(tmp_path, images, source="onnx", path=tmp_path / "model.onnx", batch=2)
    expected = pixels(tmp_path, images).flatten(1).numpy() @ weight
    assert np.allclose(array.take(images.image_id), expected, rtol=1e-4, atol=1e-3)
    (tmp_path / "model.onnx").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="onnxruntime cannot load it"):
        embedded(tmp_path, images, source="onnx", path=tmp_path / "model.onnx", out="other")


@pytest.fixture
def dinov2(tmp_path) -> Path:
    """A tiny image transformer with a class token, as transformers saves it."""
    transformers = pytest.importorskip("transformers", reason="needs the extra teachers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dino")
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    processor.save_pretrained(tmp_path / "dino")
    return tmp_path / "dino"


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler", "attention", "flatten"])
def test_transformers_pools_as_the_config_says(tmp_path, images, dinov2, pooling):
    from transformers import AutoImageProcessor, AutoModel

    model = AutoModel.from_pretrained(dinov2, attn_implementation="eager").eval()
    processor = AutoImageProcessor.from_pretrained(dinov2)
    pictures = [Image.open(tmp_path / "images" / path).convert("RGB") for path in images.path]
    inputs = processor(pictures, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, output_attentions=True)
    tokens = outputs.last_hidden_state
    weights = outputs.attentions[-1][:, :, 0, 1:].mean(1, keepdim=True)
    expected = {
        "cls": tokens[:, 0],
        "mean": tokens[:, 1:].mean(1),
        "pooler": outputs.pooler_output,
        "attention": (weights @ tokens[:, 1:])[:, 0] / weights.sum(-1),
        "flatten": tokens.flatten(1),
    }[pooling].numpy()
    source = {"source": "transformers", "path": dinov2, "pooling": pooling, "batch": 2}
    array = embedded(tmp_path, images, dimension=expected.shape[1], **source)
    assert np.allclose(array.take(images.image_id), expected, atol=ROUNDING)
    assert array.meta["preprocessing"]["crop_size"]["height"] == 28


def test_transformers_uses_the_image_tower_of_a_model_with_text(tmp_path, images):
    transformers = pytest.importorskip("transformers", reason="needs the extra teachers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes["num_attention_heads"] = 2
    config = transformers.SiglipConfig(
        text_config={**sizes, "vocab_size": 50, "max_position_embeddings": 8},
        vision_config={**sizes, "image_size": 32, "patch_size": 16},
    )
    model = transformers.SiglipModel(config).eval()
    model.save_pretrained(tmp_path / "siglip")
    processor = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path / "siglip")
    source = {"source": "transformers", "path": tmp_path / "siglip", "pooling": "pooler"}
    array = embedded(tmp_path, images, dimension=16, **source)
    pictures = [Image.open(tmp_path / "images" / path).convert("RGB") for path in images.path]
    with torch.no_grad():
        expected = model.vision_model(**processor(pictures, return_tensors="pt")).pooler_output
    assert np.allclose(array.take(images.image_id), expected.numpy(), atol=ROUNDING)


def test_folder_with_a_pickle_or_without_processor_is_refused(tmp_path, images, dinov2):
    source = {"source": "transformers", "path": dinov2, "dimension": 16}
    weights = dinov2 / "model.safetensors"
    weights.rename(dinov2 / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, a Python pickle"):
        embedded(tmp_path, images, **source)
    (dinov2 / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"preprocessor_config\.json is missing"):
        embedded(tmp_path, images, **source)
    with pytest.raises(InputError, match="no such folder, nor is it a name on the hub"):
        embedded(tmp_path, images, **source | {"path": tmp_path / "absent"})


def test_hub_name_offline_names_the_files_to_fetch(tmp_path, images, monkeypatch):
    pytest.importorskip("transformers", reason="needs the extra teachers")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="hf download NAME"):
        embedded(tmp_path, images, source="transformers", path="nobody/no-such-encoder")


def test_timm_architecture_takes_its_own_weights(tmp_path, images):
    timm = pytest.importorskip("timm", reason="needs the extra teachers")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("test_vit").eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    source = {"source": "timm", "model": "test_vit", "path": tmp_path / "weights.safetensors"}
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
    pictures = [Image.open(tmp_path / "images" / path).convert("RGB") for path in images.path]
    with torch.no_grad():
        batch = torch.stack([transform(picture) for picture in pictures])
        expected = model.forward_head(model.forward_features(batch), pre_logits=True).numpy()
    array = embedded(tmp_path, images, dimension=expected.shape[1], batch=2, **source)
    assert np.allclose(array.take(images.image_id), expected, atol=ROUNDING)
    with pytest.raises(InputError, match="are not those of test_convnext"):
        embedded(tmp_path, images, **source | {"model": "test_convnext"})
    with pytest.raises(InputError, match="has no model 'resnet-fifty'"):
        embedded(tmp_path, images, **source | {"model": "resnet-fifty"})
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(InputError, match="Other formats hold Python pickles"):
        embedded(tmp_path, images, **source | {"path": tmp_path / "weights.pth"})


def test_open_clip_gives_its_image_tower(tmp_path, images):
    open_clip = pytest.importorskip("open_clip", reason="needs the extra teachers")
    from safetensors.torch import save_file

    config = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 64, "heads": 1, "layers": 1},
    }
    (tmp_path / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms("tiny-clip")
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    source = {"source": "open-clip", "model": "tiny-clip", "path": tmp_path / "weights.safetensors"}
    pictures = [Image.open(tmp_path / "images" / path) for path in images.path]
    with torch.no_grad():
        batch = torch.stack([transform(picture) for picture in pictures])
        expected = model.eval().encode_image(batch).numpy()
    array = embedded(tmp_path, images, dimension=12, **source)
    assert np.allclose(array.take(images.image_id), expected, atol=ROUNDING)
    with pytest.raises(InputError, match=r"open_clip .* has no model 'large-clip'"):
        embedded(tmp_path, images, **source | {"model": "large-clip"})


def test_absent_library_names_the_extra(tmp_path, images, monkeypatch):
    from cxrfmkd.teacher import encoder

    monkeypatch.setattr(encoder, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnxruntime, .*cxrfmkd\[teachers\]"):
        embedded(tmp_path, images, source="onnx", path=tmp_path / "model.onnx")


def test_doctor_tells_what_an_encoder_is(tmp_path, images, capsys):
    path = exported(tmp_path / "model", made())
    main(["doctor", "--model", str(path), "--source", "torch", "--images", "100"])
    told = capsys.readouterr().out
    assert "5 numbers; two different images differ" in told
    assert "any size" in told
    assert '"size": [32, 32]' in told
    assert "time for 100 images" in told
