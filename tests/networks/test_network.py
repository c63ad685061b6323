"""Networks against torchvision's own three-channel ones, and what their files promise.

Outputs are compared in float64, whose rounding (2e-16, some thousand times over in the deepest
network) is far below every tolerance here on any CPU; weights are compared exactly.
"""

import json
from urllib.error import URLError

import pytest
import torch
import torchvision
from made_images import add_tiny_backbone, tiny_densenet
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from cxrfmkd.networks import timm_networks
from cxrfmkd.networks.architectures import initial_weights
from cxrfmkd.networks.network import Network, create, holds_network, load, load_student
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.backbones import BACKBONES
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import MODELS

add_tiny_backbone()


def randomised(model: nn.Module) -> nn.Module:
    """Batch-norm statistics and scales that are not the trivial first ones."""
    random = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=random)
            module.running_var.uniform_(0.5, 1.5, generator=random)
            module.weight.data.uniform_(0.5, 1.5, generator=random)
    return model.eval()


def with_exact_channels(model: nn.Module) -> None:
    """Round the first convolution so that float32 sums its channels exactly."""
    stem = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d)).weight
    stem.data = (stem.data * 4096).round() / 4096


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8, generator=torch.manual_seed(0))


def assert_close(outputs, expected, tolerance=1e-10):
    """Equal but for float64 rounding, relative to the largest number."""
    assert outputs.dtype == expected.dtype == torch.float64
    torch.testing.assert_close(
        outputs, expected, rtol=0, atol=tolerance * float(expected.abs().max())
    )


def repeated(images, scaled=True):
    grey = images.double()[:, None]
    return ((grey / 255 - 0.449) / 0.226 if scaled else grey).expand(-1, 3, -1, -1)


FAMILIES = [
    *("densenet169", "densenet121", "resnet50", "resnet18", "efficientnet_b0", "convnext_tiny"),
    *("mobilenet_v3_small", "swin_t", "regnet_y_400mf", "shufflenet_v2_x0_5"),
    pytest.param("vit_b_32", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_one_channel_gives_the_same_features_as_three_equal_channels(name, images, tmp_path):
    torch.manual_seed(0)
    theirs = randomised(getattr(torchvision.models, name)())
    layers = dict(theirs.named_modules())
    with_exact_channels(theirs)
    save_file(theirs.state_dict(), tmp_path / f"{name}.safetensors")
    (classifier,) = [k for k, layer in layers.items() if getattr(layer, "out_features", 0) == 1000]
    width = layers[classifier].in_features
    theirs.set_submodule(classifier, nn.Identity())
    theirs.double()
    if name.startswith("vit"):
        images = images.repeat_interleave(4, 1)[:, :224].repeat_interleave(4, 2)[..., :224]
    for mode, scaled in [("normalised", True), ("raw", False)]:
        ours = create(name, str(tmp_path), None, None, mode).eval().double()
        with torch.no_grad():
            expected, outputs = theirs(repeated(images, scaled)), ours(images)
        assert outputs.shape == (2, width) == (2, ours.width)
        assert_close(outputs, expected)
    ours.save(tmp_path / "saved.safetensors")
    assert load(tmp_path / "saved.safetensors").architecture == name


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_a_network_of_timm_gives_the_same_features_as_with_three_equal_channels(
    name, images, tmp_path
):
    timm = pytest.importorskip("timm", reason="the extra `teachers` is not installed")
    torch.manual_seed(0)
    theirs = randomised(timm.create_model(name))
    with_exact_channels(theirs)
    save_file(theirs.state_dict(), tmp_path / f"timm_{name}.safetensors")
    theirs.double()
    if name.startswith("vit"):
        images = images.repeat_interleave(4, 1)[:, :224].repeat_interleave(4, 2)[..., :224]
    ours = create(f"timm_{name}", str(tmp_path), 6, None, "normalised").eval().double()
    with torch.no_grad():
        maps = theirs.forward_features(repeated(images, True))
        assert_close(ours.features(images), theirs.forward_head(maps, pre_logits=True))
    ours.float().save(tmp_path / "saved.safetensors")
    assert load(tmp_path / "saved.safetensors").architecture == f"timm_{name}"


def test_a_network_of_timm_that_cannot_be_a_backbone_is_refused(monkeypatch):
    pytest.importorskip("timm", reason="the extra `teachers` is not installed")
    with pytest.raises(InputError, match="Did you mean timm_resnet26d"):
        Network("timm_resnet26dd")
    with pytest.raises(InputError, match="one convolution and end with a linear layer"):
        Network("timm_resnetv2_50")
    monkeypatch.setattr(timm_networks, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="make teachers"):
        Network("timm_resnet26d")


def test_timm_s_weights_that_cannot_be_fetched_are_one_clear_message(monkeypatch):
    timm = pytest.importorskip("timm", reason="the extra `teachers` is not installed")

    def offline(name, pretrained=False, make=timm.create_model):
        if pretrained:
            raise OSError("we could not connect")
        return make(name)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match=r"fetched \(we could not connect\).*timm_resnet18.safe"):
        create("timm_resnet18", "imagenet", 6, None, "normalised")


def test_every_name_is_a_classification_network_of_torchvision():
    names = set(torchvision.models.list_models(module=torchvision.models))
    others = {"googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1"}
    assert set(BACKBONES) == names - others


@pytest.mark.slow
def test_network_of_a_fixed_size_takes_images_of_any(images):
    torch.manual_seed(0)
    network = Network("vit_b_32").eval()
    with torch.no_grad():
        features = network.features(images)
        resized = nn.functional.interpolate(
            ((images / 255 - 0.449) / 0.226)[:, None], (224, 224), mode="bilinear", antialias=True
        )
        expected = network.backbone(resized)
    assert features.shape == (2, 768)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)


def assert_same_backbone(network, three_channels):
    """Every number of a three-channel network but its classifier's, the stem's summed."""
    state = network.backbone.state_dict()
    expected = {k: v for k, v in three_channels.state_dict().items() if not k.startswith("class")}
    stem = "features.conv0.weight"
    expected[stem] = expected[stem].sum(1, keepdim=True)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_random_initial_weights_are_those_of_the_three_channel_network():
    torch.manual_seed(7)
    theirs = tiny_densenet()
    torch.manual_seed(7)
    assert_same_backbone(Network("tiny"), theirs)


def test_adam_moves_one_channel_as_it_moves_three_equal_ones(images):
    torch.manual_seed(7)
    theirs = tiny_densenet().double()
    torch.manual_seed(7)
    ours = Network("tiny", outputs=1000).double()
    ours.stem.data = theirs.features.conv0.weight.data.sum(1, keepdim=True)
    ours.head.load_state_dict(theirs.classifier.state_dict())
    # Adam's step changes by at most lr / eps = 100 for each unit that a gradient changes, so a
    # gradient's rounding (1e-15) stays below 1e-12 in a step. With a tiny eps the step is the
    # gradient's sign, and a gradient of nearly 0 would turn rounding into a whole step.
    three = torch.optim.Adam(theirs.parameters(), lr=1e-2, eps=1e-4)
    one = torch.optim.Adam(ours.parameter_groups(1e-2), lr=1e-2, eps=1e-4)
    initial = ours.stem.detach().clone()
    for _ in range(5):
        for adam, output in [
            (three, lambda: theirs(repeated(images))),
            (one, lambda: ours(images)),
        ]:
            adam.zero_grad()
            output().square().mean().backward()
            adam.step()
    expected = theirs.features.conv0.weight.sum(1, keepdim=True)
    assert (expected - initial).abs().max() > 1e-2
    torch.testing.assert_close(ours.stem, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(ours.head.weight, theirs.classifier.weight, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("model", "trainable", "three_channels"),
    [
        ("cxr-fmkd-lp", 19_278, None),
        ("cxr-fmkd-direct-lp", 23_310, None),
        ("cxr-model-fft", None, 12_484_480 + 23_310),
        ("cxr-fmkd-fft", None, 12_484_480 + 1664 * 1376 + 1376 + 19_278),
    ],
)
def test_parameters_are_as_many_as_in_the_thesis(model, trainable, three_channels):
    kind = MODELS[model]
    with torch.device("meta"):
        network = Network(kind.backbone, 1376 if kind.projection else None, 14)
    if kind.finetuned:
        # One channel of 7 x 7 weights for 64 filters, where three equal ones were.
        assert network.parameter_counts()["trainable"] == three_channels - 2 * 64 * 49
        assert (
            round(three_channels / 1e6, 1) == {"cxr-model-fft": 12.5, "cxr-fmkd-fft": 14.8}[model]
        )
    else:
        assert network.freeze().parameter_counts()["trainable"] == trainable


def test_a_saved_network_comes_back_bit_by_bit_with_its_header(images, tmp_path):
    torch.manual_seed(1)
    network = randomised(Network("tiny", 6, 14, "raw")).to(memory_format=torch.channels_last)
    path = tmp_path / "weights.safetensors"
    network.save(path, {"loss": "mse"})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {
            "architecture": "tiny",
            "projection": "6",
            "outputs": "14",
            "input": "raw",
            "findings": json.dumps(FINDINGS),
            "loss": "mse",
        }
    again = load(path)
    assert not again.training
    assert again.identity() == network.identity()
    with torch.no_grad():
        assert_close(again.double()(images), network.double()(images))


def test_a_student_is_a_torchvision_network_whose_classifier_is_the_projection(images, tmp_path):
    student = randomised(Network("densenet169", 5))
    student.save(tmp_path / "weights.safetensors")

    model = torchvision.models.densenet169()
    model.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    model.classifier = nn.Linear(1664, 5)
    state = load_file(tmp_path / "weights.safetensors")
    names = {
        name: name.replace("backbone.", "").replace("projection", "classifier") for name in state
    }
    model.load_state_dict({names[name]: value for name, value in state.items()})
    model.eval()

    with torch.no_grad():
        expected = model.double()((images[:, None].double() / 255 - 0.449) / 0.226)
        assert_close(load_student(tmp_path / "weights.safetensors").double()(images), expected)


def test_a_student_is_found_through_the_choice_of_its_seed(tmp_path):
    Network("tiny", 6).save(tmp_path / "seed41" / "weights.safetensors")
    (tmp_path / "selected.json").write_text('{"seed": 41, "weights": "seed41/weights.safetensors"}')
    assert load_student(tmp_path / "selected.json").projection.out_features == 6
    assert holds_network(tmp_path / "selected.json")


def test_embeddings_come_from_the_projection_and_features_from_the_backbone(images):
    network = Network("tiny", 6, 14).eval().double()
    with torch.no_grad():
        features = network.features(images)
        assert features.shape == (2, network.width)
        assert_close(network.embed(images), network.projection(features))
        assert_close(network(images), network.head(network.projection(features)))
        assert_close(network(images), network(images[:, None].float()))


def test_a_new_head_stands_on_the_projection_or_on_the_features():
    projected = Network("tiny", 6).with_head(14)
    assert (projected.head.in_features, projected.projection.out_features) == (6, 6)
    dropped = Network("tiny", 6).with_head(14, keep_projection=False)
    assert dropped.projection is None
    assert dropped.head.in_features == dropped.width


@pytest.mark.parametrize("batch_norm", ["frozen", "drifting"])
def test_frozen_is_frozen_and_only_drifting_moves_the_statistics(batch_norm, images):
    network = Network("tiny", 6, 14).freeze(batch_norm)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    adam = torch.optim.Adam(network.parameter_groups(0.1))
    network.train()
    network(images).square().mean().backward()
    adam.step()
    moved = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    statistics = {n for n in before if "running" in n or "num_batches" in n}
    assert moved == {"head.weight", "head.bias"} | (
        statistics if batch_norm == "drifting" else set()
    )


def test_weights_with_torchvisions_old_names_and_no_batch_counts_are_read(tmp_path):
    model = randomised(torchvision.models.densenet121())
    old = {}
    for name, value in model.state_dict().items():
        if "num_batches" not in name:
            parts = name.split(".")
            positions = [
                i for i, part in enumerate(parts) if part in ("norm1", "norm2", "conv1", "conv2")
            ]
            for i in positions:
                parts[i] = f"{parts[i][:-1]}.{parts[i][-1]}"
            old[".".join(parts)] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "densenet121-a639ec97.pth")
    network = create("densenet121", str(tmp_path), None, None, "normalised")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked.zero_()
    assert_same_backbone(network, model)


def test_one_channel_weights_of_a_folder_stay_as_they_are(tmp_path):
    backbone = Network("tiny").backbone
    save_file(backbone.state_dict(), tmp_path / "tiny.safetensors")
    state = initial_weights("tiny", str(tmp_path))
    assert torch.equal(state["features.conv0.weight"], backbone.features.conv0.weight.data)


def test_imagenet_weights_come_from_torchs_cache_without_any_network(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: pytest.fail("download"))
    (tmp_path / "checkpoints").mkdir()
    model = torchvision.models.resnet50()
    torch.save(model.state_dict(), tmp_path / "checkpoints" / "resnet50-11ad3fa6.pth")
    network = create("resnet50", "imagenet", None, 14, "normalised")
    assert torch.equal(network.backbone.layer1[0].conv1.weight, model.layer1[0].conv1.weight)
    assert network.head.out_features == 14


def test_offline_the_message_says_what_to_fetch_and_where_to_put_it(monkeypatch, tmp_path):
    def offline(*args, **options):
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError) as error:
        create("densenet169", "imagenet", 6, None, "normalised")
    message = str(error.value)
    assert "https://download.pytorch.org/models/densenet169-b2777c0a.pth" in message
    assert str(tmp_path / "checkpoints" / "densenet169-b2777c0a.pth") in message
    assert "network.weights" in message


def test_a_folder_without_the_weights_is_named(tmp_path):
    with pytest.raises(InputError, match=r"neither resnet50\.safetensors nor resnet50\*\.pth"):
        create("resnet50", str(tmp_path), None, None, "normalised")


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(tiny_densenet().state_dict(), tmp_path / "resnet50.pth")
    with pytest.raises(InputError, match=r"weights for resnet50 in .* do not fit it: .* missing"):
        create("resnet50", str(tmp_path), None, None, "normalised")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda p: load(p / "none.safetensors"), "there are no such weights"),
        (lambda p: load(p / "head.safetensors"), "names no image network"),
        (lambda p: load_student(p / "classifier.safetensors"), "not of a student"),
        (lambda p: Network("vgg"), "there is no network 'vgg'"),
        (lambda p: Network("tiny", input="grey"), "'grey' input"),
    ],
)
def test_what_is_no_network_or_no_student_is_refused(what, message, tmp_path):
    save_file({"head.weight": torch.zeros(14, 6)}, tmp_path / "head.safetensors")
    Network("tiny", 6, 14).save(tmp_path / "classifier.safetensors")
    assert not holds_network(tmp_path / "head.safetensors")
    with pytest.raises(InputError, match=message):
        what(tmp_path)


def test_images_of_three_channels_are_refused():
    with pytest.raises(ValueError, match=r"must be \(n, h, w\)"):
        Network("tiny")(torch.zeros(2, 3, 32, 32))


def test_head_and_projection_stay_exact_under_autocast(images):
    network = Network("tiny", 6, 14).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = network.features(images)
        embedded = network._apply_exactly(network.projection, features)
        logits = network.classify(embedded)
    assert features.dtype == network.embed(images).dtype == logits.dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(embedded, network.projection(features))
        assert torch.equal(logits, network.head(embedded))
