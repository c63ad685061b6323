"""The backbones that a student may have, by torchvision's names.

All of torchvision's classification networks but googlenet and inception_v3, which train through
auxiliary heads, and SqueezeNet, which has no pooled features in front of its classifier.
"""

from __future__ import annotations

import re

BACKBONES = tuple(
    "alexnet convnext_base convnext_large convnext_small convnext_tiny "
    "densenet121 densenet161 densenet169 densenet201 "
    "efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 "
    "efficientnet_b5 efficientnet_b6 efficientnet_b7 "
    "efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s maxvit_t "
    "mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 "
    "mobilenet_v2 mobilenet_v3_large mobilenet_v3_small "
    "regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf "
    "regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf "
    "regnet_y_400mf regnet_y_800mf regnet_y_8gf "
    "resnet101 resnet152 resnet18 resnet34 resnet50 "
    "resnext101_32x8d resnext101_64x4d resnext50_32x4d "
    "shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 "
    "swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t "
    "vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn "
    "vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2".split()
)

# A network of timm is its name there behind this.
TIMM = "timm_"

# The backbone of a student whose name says none.
STUDENT = "densenet169"

# The side of the square that a network of fixed size takes, in pixels; others take any.
FIXED_SIZES = {name: 224 for name in BACKBONES if name.startswith(("vit_", "maxvit_"))}


def student_name(loss: str, backbone: str = STUDENT) -> str:
    """The wildcard of a student: its loss and, where it is not the default, its backbone.

    `mse` and `resnet18` -> `mse-on-resnet18`. Without a loss: the same network undistilled.
    """
    if backbone == STUDENT:
        return loss
    return f"{loss}-on-{backbone}" if loss else f"on-{backbone}"


# In the place of a loss: the probe on a further teacher, `cxr-fm-lp.of-rad-dino`.
OF_TEACHER = "of-"


def probe_of(teacher: str) -> str:
    """What stands in the place of a loss where a model classifies a further teacher's vectors."""
    return f"{OF_TEACHER}{teacher}"


def probed_teacher(loss: str) -> str:
    """The further teacher of `probe_of`; empty for everything else."""
    return loss.removeprefix(OF_TEACHER) if loss.startswith(OF_TEACHER) else ""


def split_student(name: str) -> tuple[str, str]:
    """`mse-on-resnet18` -> ("mse", "resnet18"); `mse` -> ("mse", the default backbone).

    What is no student has no loss: `on-resnet18`, a network without distillation, and what
    `probe_of` gives.
    """
    if probed_teacher(name):
        return "", STUDENT
    match = re.fullmatch(r"(?:(?P<loss>.+)-)?on-(?P<backbone>[a-z0-9_]+)", name)
    return (match["loss"] or "", match["backbone"]) if match else (name, STUDENT)


def on_backbone(name: str) -> str:
    """What a student's name says of its backbone: `mse-on-resnet18` -> `on-resnet18`."""
    return student_name("", split_student(name)[1])
