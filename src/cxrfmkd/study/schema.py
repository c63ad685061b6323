"""The JSON schema and the reference page of the configuration, both made from `cxrfmkd.study.settings`."""

from __future__ import annotations

import difflib
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import get_type_hints

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Configuration, Dataset

TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def _type(entry: Field, hint: object) -> dict:
    """JSON type of a field: a section, the named datasets, or a plain value that may be null."""
    if is_dataclass(hint):
        return section_schema(hint)
    if entry.name == "datasets" and hint is not list:
        names = {"type": "object", "propertyNames": {"pattern": "^[a-z0-9][a-z0-9-]*$"}}
        return names | {"additionalProperties": section_schema(Dataset)}
    options = [TYPES[kind] for kind in TYPES if kind in getattr(hint, "__args__", (hint,))]
    if type(None) in getattr(hint, "__args__", ()):
        options.append("null")
    return {"type": options[0] if len(options) == 1 else options}


def _default(entry: Field) -> object:
    if entry.default_factory is not MISSING:
        return entry.default_factory()
    return entry.default


def section_schema(section: type) -> dict:
    """JSON schema (draft 2020-12) of one settings class; unknown keys are refused."""
    hints = get_type_hints(section)
    properties = {}
    for entry in fields(section):
        about = entry.metadata
        schema = {"description": about["doc"]} | _type(entry, hints[entry.name])
        if about["choices"]:
            if "array" in schema["type"]:
                schema["items"] = {"enum": about["choices"]}
            else:
                schema["enum"] = about["choices"] + ([None] if "null" in schema["type"] else [])
        for word in ("minimum", "maximum"):
            if about[word] is not None:
                schema[word] = about[word]
        default = _default(entry)
        if default is not MISSING and not is_dataclass(default):
            schema["default"] = default
        properties[entry.name] = schema
    required = [e.name for e in fields(section) if _default(e) is MISSING]
    return {
        "type": "object",
        "description": section.__doc__.splitlines()[0],
        "properties": properties,
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def schema() -> dict:
    """JSON schema of a whole configuration file."""
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "cxr-fmkd study"}
    return about | section_schema(Configuration)


def check(config: dict) -> None:
    """Raise InputError at the first setting of `config` that the schema refuses, with its full name."""
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(schema()).iter_errors(config), key=lambda e: list(e.path))
    if not errors:
        return
    error = errors[0]
    where = ".".join(map(str, error.path)) or "top level"
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        wrong = sorted(set(error.instance) - set(known))[0]
        close = difflib.get_close_matches(wrong, known, 1)
        hint = (
            f"Did you mean `{close[0]}`?" if close else f"Known settings there: {', '.join(known)}."
        )
        raise InputError(f"config, {where}: there is no setting `{wrong}`. {hint}")
    if error.validator in ("enum", "required"):
        raise InputError(f"config, {where}: {error.message}.")
    raise InputError(
        f"config, {where}: {error.message}. It means: {error.schema.get('description', '')}"
    )


def reference() -> str:
    """`config/README.md`: every setting with its default, allowed values and meaning, as Markdown tables."""
    lines = [
        "# Settings",
        "",
        "This page is made from `src/cxrfmkd/study/settings.py` by `python -m "
        "cxrfmkd.study.schema`; a test keeps the two in step.",
        "A study is `config/config.yaml`, over which `--configfile` lays another file: "
        "`thesis.yaml` (the thesis to the letter),",
        "`demo.yaml` (synthetic data) or `nih.yaml` (NIH ChestX-ray14). Datasets that no stage "
        "names are ignored.",
        "",
    ]
    hints = get_type_hints(Configuration)
    top = [e for e in fields(Configuration) if not is_dataclass(hints[e.name])]
    lines += _table("The file", "Settings of the study as a whole.", top, hints)
    lines += _table(
        "datasets.\\<name\\>", Dataset.__doc__, fields(Dataset), get_type_hints(Dataset)
    )
    for entry in fields(Configuration):
        kind = hints[entry.name]
        if is_dataclass(kind):
            lines += _table(entry.name, kind.__doc__, fields(kind), get_type_hints(kind))
    return "\n".join(lines)


def _table(name: str, doc: str, entries, hints: dict) -> list[str]:
    rows = [
        f"## {name}",
        "",
        doc.splitlines()[0],
        "",
        "| setting | default | meaning |",
        "| --- | --- | --- |",
    ]
    for entry in entries:
        default = _default(entry)
        shown = "required" if default is MISSING else f"`{default}`"
        rows.append(f"| `{entry.name}` | {shown} | {entry.metadata['doc']} |")
    return [*rows, ""]


def main() -> None:
    """Write the schema and the reference page."""
    from pathlib import Path

    import yaml

    text = yaml.safe_dump(schema(), sort_keys=False, allow_unicode=True, width=110)
    Path("workflow/schemas/config.schema.yaml").write_text(text)
    Path("config/README.md").write_text(reference() + "\n")


if __name__ == "__main__":
    main()
