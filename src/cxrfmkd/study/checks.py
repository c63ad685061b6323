"""What the settings of a study must fulfil together; each setting alone is checked by its type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product

from cxrfmkd.runtime.errors import InputError, did_you_mean, some
from cxrfmkd.study import attributes
from cxrfmkd.study.paths import begins_to_be_expanded, whole_path
from cxrfmkd.study.runs import Runs
from cxrfmkd.vocabulary.models import MODELS, split_model
from cxrfmkd.vocabulary.teachers import TEACHER, teacher_setting


def check(runs: Runs) -> None:
    """Raise InputError with every problem of `runs`."""
    names = [*unknown_datasets(runs), *unknown_attributes(runs)]
    problems = (
        names
        or list(undeclared_teachers(runs))
        or [p for problems in CHECKS for p in problems(runs)]
    )
    if problems:
        raise InputError("\n".join(f"config, {problem}" for problem in problems))


def unknown_datasets(runs: Runs) -> Iterator[str]:
    """Stages name datasets that the configuration describes."""
    s = runs.settings
    for setting, names in [
        ("distillation.datasets", s.distillation.datasets),
        ("classification.datasets", s.classification.datasets),
        ("bias.losses_of", s.bias.losses_of),
        ("transfer.pairs", [name for pair in s.transfer.pairs for name in pair]),
    ]:
        for name in names:
            if name not in s.datasets:
                names_of_all = ", ".join(s.datasets)
                yield (
                    f"{setting}: there is no dataset `{name}`.{did_you_mean(name, s.datasets)} "
                    f"`datasets` has {names_of_all}."
                )


def unknown_findings(runs: Runs) -> Iterator[str]:
    """What datasets say of findings is said of those of the study."""
    names = runs.settings.findings.names
    for dataset in runs.datasets:
        section = runs.settings.datasets[dataset]
        settings: dict[str, Mapping[str, object]] = {"thresholds": section.thresholds}
        if section.label_list:
            settings["label_list.names"] = section.label_list.names
        if section.reference:
            settings["reference.columns"] = section.reference.columns
        for setting, findings in settings.items():
            for name in findings:
                if name not in names:
                    yield (
                        f"datasets.{dataset}.{setting}: {name} is none of the findings "
                        f"{', '.join(names)}.{did_you_mean(name, names)}"
                    )


def unknown_attributes(runs: Runs) -> Iterator[str]:
    """Declared attributes make sense, and stages ask for those that there are."""
    s = runs.settings
    try:
        known = runs.attributes
    except InputError as error:
        yield from str(error).split("\n")
        return
    asked = {
        "evaluation.attributes": s.evaluation.attributes,
        "bias.attributes": s.bias.attributes,
        "bias.erase": s.bias.erase,
        "resampling.by": [s.resampling.by],
    } | {f"datasets.{name}.attributes": d.attributes or [] for name, d in s.datasets.items()}
    for setting, names in asked.items():
        for problem in attributes.unknown(names, known):
            yield f"{setting}: {problem}"
    if s.resampling.by == "age":
        yield "resampling.by is age, by which the test set is balanced in any case. Name another."


def unbalanced_attributes(runs: Runs) -> Iterator[str]:
    """A resampled test set needs race, or what it is resampled by, and age."""
    for name in runs.datasets:
        attributes = runs.settings.datasets[name].attributes
        needed = {runs.settings.resampling.by, "age"}
        absent = set() if attributes is None else needed - set(attributes)
        if absent and runs.balanced(name):
            yield (
                f"datasets.{name}.attributes: the resampled test set needs "
                f"{' and '.join(sorted(absent))}, which the dataset does not have. "
                f"Set datasets.{name}.resampling: none."
            )


def undeclared_teachers(runs: Runs) -> Iterator[str]:
    """Every further teacher is declared once, and every dataset has its embeddings."""
    s, names = runs.settings, runs.further_teachers
    if len(set(names)) < len(names):
        yield f"distillation.teachers: {', '.join(names)} must be different teachers."
    for name in dict.fromkeys(names):
        if name not in s.teachers:
            yield (
                f"distillation.teachers: there is no teacher `{name}`."
                f"{did_you_mean(name, s.teachers)} Declare it in `teachers`, with name, title, "
                "licence and dimension."
            )
        for dataset in runs.datasets:
            if name not in s.datasets[dataset].teachers:
                yield (
                    f"datasets.{dataset}.teachers: `{name}` of distillation.teachers is not there. "
                    "Say where this dataset's embeddings of it come from."
                )


def unstandardised_teachers(runs: Runs) -> Iterator[str]:
    """The losses of several teachers are added up, so that their targets need one scale."""
    section = runs.settings.distillation
    if not section.teachers:
        return
    for loss in runs.settings.distillation.losses:
        if runs.distillation(loss)["standardise_teacher"] == "none":
            yield (
                f"distillation.standardise_teacher is none for {loss}, but with several teachers "
                "the one with the largest numbers would be learnt and the others not. Set it to "
                "phi-s or per-dimension."
            )


def unknown_teachers(runs: Runs) -> Iterator[str]:
    """An embedding space is a known one, or declared, and as long as its teacher's `dimension`."""
    for name, teacher in product(runs.datasets, runs.teachers):
        try:
            declared = runs.teacher_settings(teacher)
            runs.source_of(name, teacher).check_dimension(declared, teacher_setting(teacher))
        except InputError as error:
            yield f"datasets.{name}: {error}"


def mixed_pools(runs: Runs) -> Iterator[str]:
    """The members of a pool have embeddings of one variant, and the pool has no others."""
    for name, teacher in product(runs.pools, runs.teachers):
        sources = {member: runs.source_of(member, teacher) for member in runs.pool(name)}
        if len({source.variant for source in sources.values()}) > 1:
            listed = ", ".join(f"{m} of {source.variant}" for m, source in sources.items())
            yield (
                f"datasets.{name}.pool: its members have embeddings of different variants "
                f"({listed}), which no one student can reproduce. Use one variant for all."
            )
        elif runs.source_of(name, teacher) not in sources.values():
            yield (
                f"datasets.{name}.{teacher_setting(teacher)}: a pool's embeddings are those of its "
                "members. Remove it."
            )


def untransferable_pairs(runs: Runs) -> Iterator[str]:
    """A transfer's source is trained on, in the embedding spaces of its target."""
    s = runs.settings
    for source, target in runs.pairs:
        for teacher in runs.teachers:
            variants = [runs.source_of(name, teacher).variant for name in (source, target)]
            if variants[0] != variants[1]:
                yield (
                    f"transfer.pairs: {source} has embeddings of {variants[0]}, {target} of "
                    f"{variants[1]}. What is learnt on one variant means nothing on another: "
                    "use one for both."
                )
        if s.transfer.strategies and source not in s.classification.datasets:
            yield (
                f"transfer.pairs: nothing is trained on the source `{source}`. "
                "Add it to classification.datasets."
            )


def missing_students(runs: Runs) -> Iterator[str]:
    """Distilled models have students to start from."""
    s = runs.settings
    if any(MODELS[name].student for name in s.classification.models):
        for dataset in s.classification.datasets:
            if dataset not in s.distillation.datasets:
                yield (
                    f"classification.models: distilled models on `{dataset}` need its students. "
                    "Add it to distillation.datasets, or leave those models out."
                )


def students_without_seed(runs: Runs) -> Iterator[str]:
    """Where a classifier starts from the student of its seed, there is one."""
    s = runs.settings
    absent = sorted(set(s.classification.seeds) - set(s.distillation.seeds))
    distilled = any(MODELS[name].student for name in s.classification.models)
    if absent and distilled and not runs.one_student:
        yield (
            f"classification.seeds: there is no student of seed {some(absent)} to start from. Add "
            "it to distillation.seeds, or set classification.student: selected."
        )


def unknown_students(runs: Runs) -> Iterator[str]:
    """The student that a selected probe looked through is known before the probe is selected."""
    through = [
        model
        for model in runs.transferred
        if MODELS[split_model(model)[0]].student and not runs.owns_backbone(model)
    ]
    selected = runs.settings.transfer.start == "selected-seed"
    if through and runs.pairs and selected and not runs.one_student:
        yield (
            f"transfer.start: which student the selected seed of {some(through, 3)} looks through "
            "is not known before it is selected. Set classification.student: selected, or "
            "transfer.start: same-seed."
        )


def missing_plateaus(runs: Runs) -> Iterator[str]:
    """Weighted losses are scaled by students of mse and cosine."""
    losses = runs.settings.distillation.losses
    absent = [loss for loss in ("cosine", "mse") if loss not in losses]
    for loss in losses:
        if absent and runs.scales_needed(loss):
            yield (
                f"distillation.losses: {loss} is scaled by the plateaus of mse and cosine, but "
                f"{' and '.join(absent)} is not among the losses. Add it, or set "
                "distillation.loss_scales."
            )


def untrained_models(runs: Runs) -> Iterator[str]:
    """What is transferred is trained on the source."""
    untrained = [model for model in runs.transferred if model not in runs.models]
    if untrained and runs.pairs:
        yield (
            f"transfer: {some(untrained, 3)} is transferred but never trained. Add its model to "
            "classification.models and its loss to distillation.losses, or do not transfer it."
        )


def unusable_paths(runs: Runs) -> Iterator[str]:
    """Every configured path can be made whole."""
    s = runs.settings
    paths = [("network.weights", s.network.weights)]
    for name, dataset in s.datasets.items():
        paths += [(f"datasets.{name}.tables.{key}", path) for key, path in dataset.tables.items()]
        paths += [(f"datasets.{name}.images", dataset.images)]
        if dataset.reference:
            paths += [(f"datasets.{name}.reference.table", p) for p in dataset.reference.table]
        for teacher, source in ({TEACHER: dataset.teacher} | dataset.teachers).items():
            section = teacher_setting(teacher)
            paths += [(f"datasets.{name}.{section}.path", path) for path in source.path]
            paths += [(f"datasets.{name}.{section}.qformer", source.qformer)]
    for setting, path in paths:
        try:
            whole_path(path, s.folders)
        except InputError as error:
            yield f"{setting}: {error}"
    for name, path in s.pathvars.items():
        if begins_to_be_expanded(path):
            yield (
                f"pathvars.{name}: {path} is used as it is, ~ and variables are not replaced here. "
                "Write the whole path, or one relative to the folder you start from."
            )


CHECKS: list[Callable[[Runs], Iterator[str]]] = [
    unusable_paths,
    unknown_findings,
    unbalanced_attributes,
    unknown_teachers,
    unstandardised_teachers,
    mixed_pools,
    untransferable_pairs,
    missing_students,
    students_without_seed,
    unknown_students,
    missing_plateaus,
    untrained_models,
]
