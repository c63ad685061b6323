"""Groups of patients and images: the values of sex, race, disease, view and age."""

# Those that a study may leave out; it may declare others (`vocabulary.attributes`).
ATTRIBUTES = ("sex", "race", "age", "view")

SEXES = ("Male", "Female")
RACES = ("White", "Asian", "Black")
VIEWS = ("AP", "PA")

# Upper ends of the age bins 0 to 6; bin 7 is what lies above. Source: chexpert.resample notebook.
AGE_EDGES = (20, 30, 40, 50, 60, 70, 80)
AGE_BINS = ("to 20", "21-30", "31-40", "41-50", "51-60", "61-70", "71-80", "over 80")

# The three age groups of the bias analysis, upper ends of the first two, and the group of each bin.
AGE_GROUPS, AGE_GROUP_EDGES = ("up to 50", "51-70", "over 70"), (50.0, 70.0)
AGE_GROUP_OF_BIN = {
    i: AGE_GROUPS[sum(edge in AGE_EDGES[:i] for edge in AGE_GROUP_EDGES)]
    for i in range(len(AGE_BINS))
}

# Groups of each attribute in the order in which the bias analysis compares them, and figures show.
GROUPS = {
    "disease": ("Pleural Effusion", "No Finding", "Other"),
    "race": RACES,
    "sex": SEXES,
    "age": AGE_GROUPS,
    "view": VIEWS,
}
