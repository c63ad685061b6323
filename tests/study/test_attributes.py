"""Attributes that a configuration declares: what it may say, and what a study makes of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from configurations import configuration

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.grid import Study
from cxrfmkd.study.specs import SPECS
from cxrfmkd.vocabulary.attributes import PRESETS, declared

INSURANCE = {"values": ["Private", "Medicare", "Medicaid"]}


def study(attributes: dict, **changes) -> Study:
    return Study(configuration(attributes=attributes, **changes))


@pytest.mark.parametrize(
    ("name", "section", "message"),
    [
        ("insurance", {}, "it needs `values`, its groups, or `edges`, if it is a number."),
        ("insurance", {"values": ["Private"]}, "`values` has Private alone"),
        ("insurance", {"values": ["A", "B", "A"]}, "A: two groups have this name."),
        ("insurance", {"values": ["A", "Others"]}, "`Others`: a group cannot have this name"),
        ("insurance", {"values": ["A", ""]}, "``: tables read this as a blank cell."),
        ("implant", {"values": ["None", "Pacemaker"]}, "`None`: tables read this as a blank cell."),
        ("implant", {"values": ["no", "N/a", "Null"]}, "`N/a`, `Null`: tables read this as a"),
        ("bmi", {"edges": [25], "labels": ["NA", "b"]}, "`NA`: tables read this as a blank cell."),
        ("null", INSURANCE, "a word of the tables"),
        ("insurance", {"values": ["A", " B"]}, "` B`: a group's name neither begins nor ends"),
        ("insurance", {"values": ["A", "B"], "edges": [1.0]}, "give one of them"),
        ("insurance", {"values": ["A", "B"], "labels": ["C", "D"]}, "of which there are none"),
        ("insurance", {"values": ["A", "B"], "missing": ["B"]}, "B: it is a group, and in"),
        ("insurance", {"values": [True, False]}, "YAML reads yes, no, on and off as true"),
        ("bmi", {"edges": [30.0, 25.0]}, "edges: [30.0, 25.0] must rise"),
        ("bmi", {"edges": [25.0, 25.0]}, "edges: [25.0, 25.0] must rise"),
        ("bmi", {"edges": [25], "labels": ["low"]}, "1 edges make 2 groups; there are 1 names."),
        ("bmi", {"edges": [25], "labels": ["a", "a"]}, "a: two groups have this name."),
        ("bmi", {"edges": ["25"]}, "'25' should be a valid number"),
        (
            "insurance",
            INSURANCE | {"comparisons": ["Private", "Medicaide"]},
            "there is no group `Medicaide`. Did you mean `Medicaid`? There are Private, Medicare",
        ),
        ("insurance", INSURANCE | {"comparisons": [["Private"]]}, "must be two different groups"),
        ("insurance", INSURANCE | {"comparisons": ["Private", "Private"]}, "two different groups"),
        (
            "insurance",
            INSURANCE | {"comparisons": ["others", "Private"]},
            "write [Private, others]",
        ),
        (
            "insurance",
            INSURANCE | {"comparisons": [["Private", "Medicare"], ["Medicare", "Private"]]},
            "a pair stands there twice",
        ),
        ("sex", {"comparisons": ["Male", "Woman"]}, "there is no group `Woman`."),
        ("split", INSURANCE, "attributes.split: split is a column of every table of records"),
        ("disease", INSURANCE, "disease is a column of every table of records"),
        ("all", INSURANCE, "a word of the tables"),
        ("{insurance}", INSURANCE, "a name begins with a small letter"),
        ("Insurance", INSURANCE, "a name begins with a small letter"),
        ("payer", INSURANCE | {"column": "race"}, "race is of the column `race` too"),
        ("age", {"values": ["young", "old"]}, "ages are numbers; give `edges`"),
        ("view", {"edges": [1.0]}, "view is no number; give `values`"),
        ("insurance", INSURANCE | {"colum": "x"}, "no setting `colum`. Did you mean `column`?"),
    ],
)
def test_a_declaration_that_cannot_be_is_one_clear_message(name, section, message):
    with pytest.raises(InputError) as error:
        study({name: section})
    assert message in str(error.value)
    assert f"attributes.{name}" in str(error.value)


def test_two_attributes_of_one_column_are_refused():
    with pytest.raises(InputError, match="payer is of the column `insurance` too"):
        study({"payer": INSURANCE | {"column": "insurance"}, "insurance": INSURANCE})


def test_unknown_names_are_refused_wherever_attributes_are_named():
    for changes in (
        {"evaluation": {"attributes": ["insurence"]}},
        {"bias": {"attributes": ["insurence"]}},
        {"bias": {"erase": ["insurence"]}},
        {"datasets": {"mimic": {"attributes": ["insurence"]}}},
    ):
        with pytest.raises(InputError, match="no attribute `insurence`"):
            study({"insurance": INSURANCE}, **changes)


def test_a_declared_attribute_is_analysed_without_another_setting():
    plan = study({"insurance": INSURANCE, "scanner": {"values": ["A", "B"], "protected": False}})
    assert plan.settings.evaluation.attributes == "sex race age view insurance scanner".split()
    assert plan.settings.bias.attributes == ["sex", "race", "age", "insurance"]
    chosen = study({"insurance": INSURANCE}, bias={"attributes": ["sex"]})
    assert chosen.settings.bias.attributes == ["sex"]


def test_a_test_set_is_not_balanced_by_age_twice():
    with pytest.raises(InputError, match=r"resampling\.by is age, by which .* in any case"):
        study({"insurance": INSURANCE}, resampling={"by": "age"})


def test_groups_and_comparisons_are_those_that_were_declared():
    bmi = {"edges": [18.5, 25, 30], "comparisons": [["18.5 to 25", "over 30"]]}
    attributes = study(
        {
            "insurance": INSURANCE | {"comparisons": ["Private", "others"], "column": "Payer"},
            "bmi": bmi,
            "age": {"edges": [18], "labels": ["minor", "adult"]},
            "view": {"protected": True},
        }
    ).attributes
    assert attributes["insurance"].pairs == (("Private", "others"),)
    assert attributes["insurance"].column == "Payer"
    assert attributes["bmi"].groups == ("up to 18.5", "18.5 to 25", "25 to 30", "over 30")
    assert attributes["bmi"].pairs == (("18.5 to 25", "over 30"),)
    assert attributes["age"].groups == ("minor", "adult")
    assert attributes["view"].groups == PRESETS["view"].groups
    assert attributes["view"].protected
    assert list(attributes)[:5] == list(PRESETS)


def test_a_spec_says_what_was_declared_and_nothing_without_a_declaration():
    wildcards = SimpleNamespace(dataset="mimic")
    plain = SPECS["sample_records"](Study(configuration()), wildcards)
    assert set(plain) == {"name", "dataset"}
    plan = study({"insurance": INSURANCE, "bmi": {"edges": [25]}})
    spec = json.loads(json.dumps(SPECS["sample_records"](plan, wildcards)))
    assert declared(spec) == plan.attributes
