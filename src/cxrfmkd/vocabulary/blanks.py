"""Words of tables that stand for no value."""

# The texts that pandas takes for a blank cell, in the studies' own tables too.
BLANK = {
    *("", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
}


def is_blank(word: str) -> bool:
    """Whether a table may lose `word`, in any spelling: no group and no finding can be named so."""
    return word.strip().lower() in {text.lower() for text in BLANK}
