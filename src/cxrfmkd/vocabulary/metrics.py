"""The four metrics of a classifier, and their names in text and figures (method, section 6.1)."""

METRIC_TITLES = {
    "auc_pr": "AUC-PR",
    "auc_roc": "AUC-ROC",
    "youden_j_max": "Youden’s J, maximum",
    "youden_j_at_fpr20": "Youden’s J at 20 % FPR",
}
METRICS = tuple(METRIC_TITLES)
AREAS = ("auc_roc", "auc_pr")  # under curves: those that need no operating point
