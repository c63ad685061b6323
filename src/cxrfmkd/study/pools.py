"""Pools: datasets that are several others as one, and those that leave one of them out in turn.

A pool is written by its members alone. Here it gets what a dataset has to say besides, and
`transfer.leave_one_out` becomes the pools, stages and transfers that it is short for.
"""

from __future__ import annotations

from collections.abc import Iterable

from cxrfmkd.runtime.errors import InputError, did_you_mean
from cxrfmkd.study.settings import Classification, Settings
from cxrfmkd.study.settings.classification import TransferSection
from cxrfmkd.study.settings.distillation import DistillationSection
from cxrfmkd.vocabulary.datasets import LEFT_OUT, POOL, SITE


def with_pools(config: dict) -> dict:
    """`config` with its pools written in full, and those of `transfer.leave_one_out`.

    Where there are pools, `site` is an attribute whose groups are their members.
    What is of another type than it should be is left to the settings' own check. Raises InputError
    for a member that is no dataset, or is a pool itself.
    """
    if not isinstance(config.get("datasets"), dict):
        return config
    config = _leave_one_out(config)
    datasets = config["datasets"]
    pools = {name: values for name, values in datasets.items() if _members(values)}
    for name, values in pools.items():
        _check_members(name, _members(values), datasets)
    in_full = {name: _in_full(values, datasets) for name, values in pools.items()}
    config = config | {"datasets": datasets | in_full}
    declared = config.get("attributes", {})
    if not pools or not isinstance(declared, dict):
        return config
    sites = dict.fromkeys(site for values in pools.values() for site in _members(values))
    site = {"values": list(sites), "protected": False}
    return config | {"attributes": {SITE: site} | declared}


def _members(values: object) -> list[str]:
    """Names of a pool's members; none where a dataset is no pool, or they are not named so."""
    members = values.get("pool") if isinstance(values, dict) else None
    if isinstance(members, list) and all(isinstance(name, str) for name in members):
        return members
    return []


def _leave_one_out(config: dict) -> dict:
    """`config` with a pool of the others for each site of `transfer.leave_one_out`."""
    transfer = config.get("transfer")
    sites = transfer.get("leave_one_out") if isinstance(transfer, dict) else None
    if not isinstance(sites, list) or not all(isinstance(site, str) for site in sites):
        return config
    _check_sites(sites, config["datasets"])
    pools = {LEFT_OUT + site: [name for name in sites if name != site] for site in sites}
    for name, members in pools.items():
        if name in config["datasets"] and _members(config["datasets"][name]) != members:
            raise InputError(
                f"config, datasets.{name}: transfer.leave_one_out makes a dataset of this name, "
                f"of {', '.join(members)}. Give yours another name."
            )
    datasets = config["datasets"] | {
        name: {"pool": members} | config["datasets"].get(name, {})
        for name, members in pools.items()
    }
    pairs = [[LEFT_OUT + site, site] for site in sites]
    config = config | {"datasets": datasets}
    config = _added(config, "transfer", "pairs", pairs, TransferSection)
    config = _added(config, "classification", "datasets", pools, Classification)
    distillation = config.get("distillation", {})
    if not isinstance(distillation, dict) or distillation.get("datasets") == []:
        return config
    return _added(config, "distillation", "datasets", pools, DistillationSection)


def _added(config: dict, section: str, setting: str, items: Iterable, kind: type[Settings]) -> dict:
    """`config` with `items` at the end of a list, but those that it has already."""
    values = config.get(section, {})
    if not isinstance(values, dict):
        return config
    present = values.get(setting, kind.model_fields[setting].default)
    if not isinstance(present, list):
        return config
    whole = [*present, *(item for item in items if item not in present)]
    return config | {section: values | {setting: whole}}


def _check_sites(sites: list[str], datasets: dict) -> None:
    for site in sites:
        if site not in datasets:
            raise InputError(_unknown("transfer.leave_one_out", site, datasets))
    if 0 < len(sites) < 3 or len(set(sites)) < len(sites):
        raise InputError(
            f"config, transfer.leave_one_out: {sites} must be three or more different datasets, "
            "so that two remain where one is left out. Write a transfer of two in transfer.pairs."
        )


def _check_members(pool: str, members: list[str], datasets: dict) -> None:
    for name in members:
        if name not in datasets:
            raise InputError(_unknown(f"datasets.{pool}.pool", name, datasets))
        if _members(datasets[name]):
            raise InputError(
                f"config, datasets.{pool}.pool: `{name}` is a pool itself. Name its members "
                f"{', '.join(_members(datasets[name]))} instead."
            )


def _unknown(setting: str, name: str, datasets: dict) -> str:
    return (
        f"config, {setting}: there is no dataset `{name}`.{did_you_mean(name, datasets)} "
        f"`datasets` has {', '.join(datasets)}."
    )


def _in_full(pool: dict, datasets: dict) -> dict:
    """A pool's section with what it has of its members, where it does not say otherwise.

    Its teacher is theirs, its attributes those that all of them have and the site, and its test set
    is not resampled where that of one of them is not.
    """
    members = [datasets[name] for name in _members(pool) if isinstance(datasets[name], dict)]
    values: dict = {"adapter": POOL, "tables": {}, "images": ""}
    if members:
        values |= {key: members[0][key] for key in ("teacher", "teachers") if key in members[0]}
    listed = [attributes for m in members if isinstance(attributes := m.get("attributes"), list)]
    if listed:
        of_all = [name for name in listed[0] if all(name in one for one in listed)]
        values["attributes"] = [*of_all, SITE]
    if any(member.get("resampling") == "none" for member in members):
        values["resampling"] = "none"
    return values | pool
