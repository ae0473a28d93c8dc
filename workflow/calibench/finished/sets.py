"""The evaluation sets of a config: their names, and how each is made.

An evaluation set is a value of the column ``split``: ``test``, ``test@siteB``, ``test@noise3``, ``test@fgsm4``.
"""

from collections.abc import Iterable
from typing import Any

from calibench.errors import UserError
from calibench.finished.names import SET

SITE, CORRUPTION, ATTACK = "site", "corruption", "attack"


def _attack(wanted: dict[str, Any], seed: int) -> dict[str, Any]:
    """The settings of an attack: FGSM is one step as long as the bound."""
    one = {"steps": 1, "step_size": wanted["eps"], "random_start": False}
    steps = {key: wanted[key] for key in one} if wanted["method"] == "pgd" else one
    found = {"kind": ATTACK, "family": wanted["method"], "level": wanted["eps"], "seed": seed}
    return found | steps | {"loss": wanted["loss"]}


def evaluation_sets(
    evaluate_on: dict[str, Any], sites: Iterable[str] | None = None
) -> dict[str, dict[str, Any]]:
    """All sets except ``test``, in the order in which they are shown.

    Args:
        evaluate_on: that part of a completed configuration.
        sites: names of the other data sets for predictions. Those of ``evaluate_on`` if not given.

    Returns:
        {name of the set: ``kind`` (site, corruption, attack), ``family`` (one line of a figure: site, a corruption, the
        method of an attack), ``level`` (severity, or the bound of an attack in grey levels; None for a site) and the
        settings of the kind: ``site``; ``seed``; ``steps``, ``step_size``, ``random_start``, ``loss``, ``seed``}.

    Raises:
        UserError: two sets have the same name.
    """
    found: dict[str, dict[str, Any]] = {}
    seed, sites = evaluate_on["seed"], evaluate_on["sites"] if sites is None else sites
    made = [(site, {"kind": SITE, "family": SITE, "level": None, "site": site}) for site in sites]
    wanted = evaluate_on["corruptions"]
    for name in wanted["names"]:
        what = {"kind": CORRUPTION, "family": name, "seed": seed}
        made += [(f"{name}{severity}", what | {"level": severity}) for severity in wanted["severities"]]
    made += [(name, _attack(attack, seed)) for name, attack in evaluate_on["attacks"].items()]
    for name, what in made:
        if SET + name in found:
            raise UserError(
                f"config: evaluate_on: two evaluation sets have the name '{SET + name}'; rename the attack or the data set"
            )
        found[SET + name] = what
    return found
