"""What do the measurements say of forecasts?"""

import pandas as pd

from taujp_core.applications.encoder import ENCODER
from taujp_core.applications.linearised import LINEARISED

from ..sentences import listed, share
from ..stressed_experts import AS_TRAINED, LONG, UNSURE

SAID = {LINEARISED.name: "linearised models", ENCODER.name: "encoders"}
WORDS = {AS_TRAINED: "for experts as trained", LONG: "with one long vector", UNSURE: "for unsure experts"}


def conclusion(ranks: pd.DataFrame, errors: pd.DataFrame, stressed: pd.DataFrame) -> str:
    """A line for each application, one for the stressed experts, and last how wrong a forecast is.

    ranks, errors, stressed: of the functions `ranks`, `errors` and `under_stress`; stressed may have no rows.
    """
    said = []
    for application, found in ranks.groupby("application", sort=False):
        rho = found.pivot(index="predictor", columns="kind", values="rho")
        said.append(
            f"For {SAID.get(application, f'{application} models')} the forecast ranks what is lost with ρ {share(rho.sums['forecast'])} in sums and "
            f"{share(rho.pairs['forecast'])} in pairs; τJp alone with {share(rho.sums['tau_jp'])} and {share(rho.pairs['tau_jp'])}."
        )
    if len(stressed):
        means = stressed.groupby("condition", sort=False)[["error", "covered"]].mean()
        parts = [
            f"{row.error:.3f} {WORDS[row.Index]} ({row.covered:.0%} in the intervals)" for row in means.itertuples()
        ]
        said.append(f"The mean error of a forecast is {listed(parts)}; of stressed experts nothing is learnt.")
    most = errors[(errors.asked == errors.asked.max()) & errors.kind.isin(["pairs", "sums"])]
    said.append(
        f"From {int(most.asked.max())} unlabelled images per task, the accuracy of a plan is forecast with a mean error of "
        f"{most.error.mean():.3f}, and {most.covered.mean():.0%} of what comes is in the 90 % intervals, which reach "
        f"{most.half.median():.2f} to either side."
    )
    return "\n".join(said)
