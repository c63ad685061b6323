"""The four metrics of a classifier, and their names in text and figures (method, section 6.1)."""

METRIC_TITLES = {
    "auc_pr": "AUC-PR",
    "auc_roc": "AUC-ROC",
    "youden_j_max": "Youden’s J, maximum",
    "youden_j_at_fpr20": "Youden’s J at 20 % FPR",
}
METRICS = tuple(METRIC_TITLES)
AREAS = ("auc_roc", "auc_pr")  # under curves: those that need no operating point

# Everything that the evaluation's tables call a metric.
MEASURES = (
    *METRICS,
    *"tpr fpr youden_j tpr_test fpr_test youden_j_test equalised_odds underdiagnosis".split(),
    *"sensitivity specificity ppv npv net_benefit kappa tau".split(),
    *"brier brier_skill mean_error ece rmsce_debiased observed".split(),
)
