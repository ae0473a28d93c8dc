"""How measures are shown: header, factor on the value, decimals."""

from calibench.extensions import brought, literal

METRICS = {
    "top1_error": ("Top-1 error (%)", 100, 2),
    "top5_error": ("Top-5 error (%)", 100, 2),
    "ece": ("ECE", 1, 4),
    "avg_confidence": ("Average confidence", 1, 4),
    "accuracy": ("Accuracy (%)", 100, 2),
    "auroc": ("AUROC (%)", 100, 2),
    "precision": ("Precision (%)", 100, 2),
    "recall": ("Recall (%)", 100, 2),
    "f1": ("F1 (%)", 100, 2),
    "ace_top_label": ("ACE, top label", 1, 4),
    "sce": ("SCE", 1, 4),
    "nll": ("NLL (nats)", 1, 4),
    "brier": ("Brier", 1, 4),
    "gap": ("Confidence − accuracy", 1, 4),
    "ece_debiased": ("ECE, debiased", 1, 4),
    "smooth_ece": ("Smooth ECE", 1, 4),
    "ace": ("ACE, all classes", 1, 4),
    "balanced_accuracy": ("Balanced accuracy (%)", 100, 2),
    "r_auc": ("R-AUC", 1, 4),
    "r_auc_normalised": ("R-AUC, normalised", 1, 4),
    "aurc": ("AURC", 1, 4),
    "augrc": ("AUGRC", 1, 4),
    "nll_refinement": ("NLL, refinement (nats)", 1, 4),
    "nll_calibration": ("NLL, calibration (nats)", 1, 4),
    "kl_human": ("KL to readers (nats)", 1, 4),
    "ce_human": ("Cross-entropy to readers (nats)", 1, 4),
    "kl_human_right": ("KL to readers, right predictions (nats)", 1, 4),
    "ce_human_right": ("Cross-entropy to readers, right predictions (nats)", 1, 4),
    "coverage_at_5": ("Coverage at 5 % error (%)", 100, 2),
    "confidence_right": ("Confidence when right", 1, 4),
    "confidence_wrong": ("Confidence when wrong", 1, 4),
}
SIGNED = {"gap"}  # printed with a plus

# A module that brings a measure may say how it is shown: SHOWN = {"name": ("Name (%)", 100, 2)}
BROUGHT = {
    name: tuple((literal(item.module, "SHOWN") or {}).get(name, (name, 1, 4)))
    for name, item in brought("metrics", METRICS).items()
}
METRICS |= BROUGHT
