"""Data of published examples of ROC comparison."""

import numpy as np

# Albumin, total protein, K-G score and outcome of 43 patients (DeLong, DeLong and Clarke-Pearson, Biometrics 44:837,
# 1988), as in SAS/STAT 14.1 User's Guide, PROC LOGISTIC, Example 72.8, "Comparing Receiver Operating
# Characteristic Curves", whose results these are; the score counts as 10 − K-G there.
OVARIAN = """
3.0 5.8 10 0   3.2 6.3 5 1   3.9 6.8 3 1   2.8 4.8 6 0   3.2 5.8 3 1   0.9 4.0 5 0   2.5 5.7 8 0   1.6 5.6 5 1
3.8 5.7 5 1   3.7 6.7 6 1   3.2 5.4 4 1   3.8 6.6 6 1   4.1 6.6 5 1   3.6 5.7 5 1   4.3 7.0 4 1   3.6 6.7 4 0
2.3 4.4 6 1   4.2 7.6 4 0   4.0 6.6 6 0   3.5 5.8 6 1   3.8 6.8 7 1   3.0 4.7 8 0   4.5 7.4 5 1   3.7 7.4 5 1
3.1 6.6 6 1   4.1 8.2 6 1   4.3 7.0 5 1   4.3 6.5 4 1   3.2 5.1 5 1   2.6 4.7 6 1   3.3 6.8 6 0   1.7 4.0 7 0
3.7 6.1 5 1   3.3 6.3 7 1   4.2 7.7 6 1   3.5 6.2 5 1   2.9 5.7 9 0   2.1 4.8 7 1   2.8 6.2 8 0   4.0 7.0 7 1
3.3 5.7 6 1   3.7 6.9 5 1   3.6 6.6 5 1
"""
# NDKA of the 113 patients of aSAH (Turck et al., Intensive Care Med 36:107, 2010; in R's pROC) from the lowest to the
# highest: P a poor outcome, g a good one, in brackets where values are equal.
NDKA = "gPggPPPgggggggggPggggggPPggPg(gg)gP(Pg)ggggPggPggggggPPPgPggPgggggPg(Pg)ggPggPPgPPgg(Pg)PPgggPggggPPPPggPgggPPPPggPgPgPgP"


def ovarian() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    albumin, protein, score, outcome = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    return outcome == 1, {"albumin": albumin, "protein": protein, "score": 10 - score}
