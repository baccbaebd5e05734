"""What the columns and rows of a table mean."""

from __future__ import annotations

from metaselector.report.summary import Summary

_COLUMNS = {
    "AUC": "Area under the ROC curve of all test rows together: how often a positive row is "
    "scored above a negative one. Higher is better; 0.5 is chance.",
    "logloss": "Mean over all test rows of −log of the probability given to the label. Lower is "
    "better.",
    "RelaImpr %": "Gain in AUC over the best single model, in percent of that model's AUC − 0.5.",
    "GAUC": "Mean of the AUCs within each user, weighted by the user's rows. It scores the order "
    "of a user's own rows, not their level. Higher is better.",
    "gap closed %": "Share of the way from the best single model to oracle-user.",
    "headroom closed %": "Share of the way from the best single model to headroom.",
    "NDCG@10": "How high a user's positive rows rank among the user's first ten. Higher is better.",
    "MRR": "Reciprocal rank of a user's first positive row. Higher is better.",
}


def legend(summary: Summary) -> dict[str, str]:
    """Explanations by title of a column or name of a row; others need none.

    Example:
        >>> note = "chance: what luck alone gives the oracle."
        >>> rows = [("oracles", [("chance", [])])]
        >>> legend(Summary("", [note], ["AUC"], rows, about={note: ("chance",)}))["chance"]
        'chance: what luck alone gives the oracle.'
    """
    models = [model for _, lines in summary.groups for model, _ in lines]
    found = {}
    for name in dict.fromkeys((*summary.titles, *models)):
        notes = [note for note in summary.notes if name in summary.about.get(note, ())]
        column = _COLUMNS.get(name, "") if name in summary.titles else ""
        text = " ".join(filter(None, [column, *notes]))
        if text:
            found[name] = text
    return found
