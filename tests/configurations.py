"""The configurations of the repository, laid over each other as Snakemake lays them."""

import yaml
from locations import ROOT
from snakemake.utils import update_config


def configuration(*names: str | None, **changes) -> dict:
    """config.yaml, with the configurations `names` and `changes` on top."""
    config: dict = {}
    for name in ("config", *filter(None, names)):
        update_config(config, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
    update_config(config, changes)
    return config
