"""The tables of an evaluation and their columns, as docs/evaluation.md describes them."""

from __future__ import annotations

from cxrfmkd.datasets.exclusions import REASONS

_RUN = "dataset source strategy model loss"
_NUMBER = "estimate low high"
_COUNTS = "n positives prevalence"

TABLE_COLUMNS = {
    name: columns.split()
    for name, columns in {
        "metrics": f"{_RUN} seed population finding metric {_NUMBER} {_COUNTS} undefined",
        "summary": f"{_RUN} population finding metric mean sd n_seeds low high {_COUNTS} undefined "
        "validation",
        "comparisons": "dataset population finding metric model_a model_b difference low high "
        "p p_adjusted family p_delong p_max_t margin p_noninferior p_equivalent",
        "thresholds": f"{_RUN} population finding rule threshold threshold_sd metric {_NUMBER} "
        f"n_seeds {_COUNTS}",
        "calibration": f"{_RUN} population finding metric bin predicted {_NUMBER} n_seeds "
        f"{_COUNTS}",
        "recalibration": f"{_RUN} population method attribute group finding metric threshold "
        f"{_NUMBER} treat_all n_seeds",
        "subgroups": f"{_RUN} population attribute group finding metric {_NUMBER} "
        "relative relative_low relative_high n_seeds n patients positives prevalence suppressed",
        "gaps": f"{_RUN} population attribute finding metric kind a b {_NUMBER} expected corrected "
        "p p_adjusted family n_seeds",
        "curves": f"{_RUN} population finding curve x y sd n_seeds",
        "exclusions": f"dataset split images {' '.join(REASONS)} measured",
        "halves": f"{_RUN} population finding metric mean n_seeds",
    }.items()
}

# Of a reference standard of experts (see `evaluation.reference`).
REFERENCE_COLUMNS = {
    **{f"reference_{name}": TABLE_COLUMNS[name] for name in ("metrics", "summary", "subgroups")},
    "reference_agreement": f"dataset attribute group finding metric {_NUMBER} n patients positives "
    "prevalence suppressed".split(),
    "reference_ranks": f"dataset finding metric {_NUMBER} n_models pairs resolved reversed".split(),
    "reference_counts": "dataset rows units readers tested images measured verdicts "
    "undecided".split(),
}
