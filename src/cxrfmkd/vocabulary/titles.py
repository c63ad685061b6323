"""Models, datasets, controls and transfer strategies as people read them; others stay."""

from __future__ import annotations

from cxrfmkd.vocabulary.attributes import PRESETS
from cxrfmkd.vocabulary.backbones import STUDENT
from cxrfmkd.vocabulary.datasets import LEFT_OUT
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.models import MODELS, split_model

DATASET_TITLES = {"chexpert": "CheXpert", "mimic": "MIMIC-CXR", "nih": "NIH ChestX-ray14"}

# Strategies as columns of a table; "own" is the same model trained on the target.
STRATEGY_TITLES = {
    "direct": "direct",
    "linear-probe": "linear probe",
    "full-finetune": "full fine-tune",
    "own": "trained on the target",
}

ABBREVIATION = 3  # letters of a name that people write in capitals

# What a distilled student is compared with; keys of `controls` in quality.json.
CONTROL_TITLES = {
    "mean_vector": "Teacher’s mean vector",
    "shuffled": "Student, images shuffled",
    "untrained": "Undistilled network, random map",
    "untrained_linear": "Undistilled network, best linear map",
}


def dataset_title(name: str) -> str:
    """A dataset as people write it; a name of the user's own stays as it is."""
    before, left_out, site = name.partition(LEFT_OUT)
    if left_out and not before:
        return f"all sites without {dataset_title(site)}"
    return DATASET_TITLES.get(name, name)


def attribute_title(name: str) -> str:
    """As people write an attribute: `body_weight` -> `Body weight`, `bmi` -> `BMI`."""
    words = attribute_words(name)
    return words[:1].upper() + words[1:]


def attribute_words(name: str) -> str:
    """The same within a sentence: `body weight`, `BMI`."""
    if name in PRESETS or " " in name:
        return name
    words = name.replace("_", " ")
    return words.upper() if len(words) <= ABBREVIATION else words


def backbone_title(name: str) -> str:
    """A backbone as people write it; torchvision's name, but for the default one."""
    return "DenseNet-169" if name == STUDENT else name


def model_title(name: str) -> str:
    """A model with its loss: `cxr-fmkd-lp.mse` -> `CXR-FMKD-LP (MSE)`."""
    model, loss = split_model(name)
    return MODELS[model].title + (f" ({loss_title(loss)})" if loss else "")
