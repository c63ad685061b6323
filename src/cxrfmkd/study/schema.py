"""The JSON schema and the reference page of the configuration, made from `study.settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from cxrfmkd.study.settings import (
    AttributeSection,
    Configuration,
    DatasetSection,
    LabelList,
    Reference,
    Settings,
    TeacherSource,
    sections,
)
from cxrfmkd.study.settings.base import meaning, plain_default

INTRODUCTION = """# Settings

This page is made from `src/cxrfmkd/study/settings/` by `python -m cxrfmkd.study.schema`; a test
keeps the two in step. A study is `config/config.yaml`, over which `--configfile` lays another file:
`thesis.yaml` (the thesis to the letter), `demo.yaml` (synthetic data) or `nih.yaml` (NIH
ChestX-ray14). Datasets that no stage names are ignored.
"""
# A page that a setting's meaning names; on this page it is a link.
PAGE_OF_DOCS = re.compile(r"docs/([a-z-]+\.md)")


class _Untitled(GenerateJsonSchema):
    """JSON schema without titles, which would only repeat the names."""

    schema_dialect = "https://json-schema.org/draft/2020-12/schema"

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict:
    """JSON schema of a whole configuration file."""
    document = Configuration.model_json_schema(schema_generator=_Untitled)
    for section in (document, *document["$defs"].values()):
        section.pop("title", None)
        for field in section["properties"].values():
            field["description"] = " ".join(field["description"].split())
            if "$ref" in field:
                field.pop("default", None)
    return {"$schema": _Untitled.schema_dialect, "title": "cxr-fmkd study"} | document


def reference() -> str:
    """`config/README.md`: every setting with its default and meaning, as Markdown tables."""
    kinds = sections()
    top = {n: field for n, field in Configuration.model_fields.items() if n not in kinds}
    tables = [
        _table("The file", "Settings of the study as a whole.", top),
        _section("`datasets.<name>`", DatasetSection),
        _section("`datasets.<name>.teacher`", TeacherSource),
        _section("`datasets.<name>.label_list`", LabelList),
        _section("`datasets.<name>.reference`", Reference),
        _section("`attributes.<name>`", AttributeSection),
        *(_section(name, kind) for name, kind in kinds.items()),
    ]
    return PAGE_OF_DOCS.sub(r"[\1](../docs/\1)", "\n".join([INTRODUCTION, *tables]))


def _section(name: str, kind: type[Settings]) -> str:
    return _table(name, (kind.__doc__ or "").splitlines()[0], kind.model_fields)


def _table(name: str, doc: str, fields: dict[str, FieldInfo]) -> str:
    rows = [
        f"| `{name}` | {_default(field)} | {meaning(field)} |" for name, field in fields.items()
    ]
    head = [f"## {name}", "", doc, "", "| setting | default | meaning |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return f"`{plain_default(field)}`"


def main() -> None:
    """Write the schema and the reference page."""
    import yaml

    text = yaml.safe_dump(schema(), sort_keys=False, allow_unicode=True, width=110)
    Path("workflow/schemas/config.schema.yaml").write_text(text)
    Path("config/README.md").write_text(reference())


if __name__ == "__main__":
    main()
