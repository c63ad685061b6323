"""The study's configuration as Snakemake reads it: files laid over one another, then values."""

from __future__ import annotations

import argparse
from pathlib import Path

from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.grid import Study
from cxrfmkd.study.origins import with_lines

BASE = Path("config/config.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--configfile` and `--config`, as Snakemake has them."""
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help=f"configurations, each laid over those before it, and all over {BASE}",
    )
    parser.add_argument(
        "--config",
        nargs="+",
        action="extend",
        default=[],
        metavar="SETTING=VALUE",
        help="settings laid over the files, written as for Snakemake",
    )


def read_study(paths: list[Path], entries: list[str] | None = None) -> Study:
    """The study of `read_configuration`, its `plugins` run.

    Messages about its settings say file and line.
    """
    config = read_configuration(paths, entries)
    try:
        study = Study(config)
    except InputError as error:
        raise InputError(with_lines(str(error), configuration_files(paths))) from None
    plugins.load(study.plugins)
    return study


def configuration_files(paths: list[Path]) -> list[Path]:
    """The files that are laid over one another: config/config.yaml, if it is there, and `paths`."""
    named = [path.resolve() for path in paths]
    return [BASE, *paths] if BASE.is_file() and BASE.resolve() not in named else paths


def read_configuration(paths: list[Path], entries: list[str] | None = None) -> dict:
    """config/config.yaml of this folder, if there is one, then each of `paths`, then `entries`.

    Raises InputError for a file that is absent or no YAML, and for an entry of another form.
    """
    import yaml
    from snakemake.cli import parse_config
    from snakemake.utils import update_config

    files = configuration_files(paths)
    if not files:
        raise InputError(
            f"there is no {BASE} here. Go to the workflow's folder, or name a whole --configfile."
        )
    config: dict = {}
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file.")
        try:
            update_config(config, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            reason = error if str(error) else type(error).__name__
            raise InputError(f"{path}: this is no YAML ({reason}).") from None
    try:
        update_config(config, parse_config(entries or []))
    except ValueError as error:
        raise InputError(f"--config {' '.join(entries or [])}: {error}") from None
    return config
