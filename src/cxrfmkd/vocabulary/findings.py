"""The 14 CheXpert findings: their fixed order and the thesis's groupings of them.

They are the defaults of the setting `findings`; what a study has, its settings and its files say.
"""

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)

# The thesis's order of relevance (method, section 6.3); its first seven are the focused table.
BY_RELEVANCE = (
    "Pleural Effusion",
    "No Finding",
    "Cardiomegaly",
    "Pneumothorax",
    "Atelectasis",
    "Consolidation",
    "Edema",
    "Pleural Other",
    "Enlarged Cardiomediastinum",
    "Pneumonia",
    "Lung Lesion",
    "Lung Opacity",
    "Fracture",
    "Support Devices",
)

SEVEN = BY_RELEVANCE[:7]

# Names of the averages over findings, as they stand in the column `finding` of every table.
MACRO, AVERAGE_OF_SEVEN, OTHERS = "Macro", "Average Classes 1 to 7", "Others"
AVERAGES = {MACRO: FINDINGS, AVERAGE_OF_SEVEN: SEVEN, OTHERS: BY_RELEVANCE[7:]}

# The finding that says that there is none, and the exclusive classes of images: an effusion wins,
# then no finding; all others are the last. Source: chexpert.sample and mimic.sample notebooks.
NONE, OTHER = "No Finding", "Other"
CLASSES = ("Pleural Effusion", NONE)
