"""What do the measurements say of forecasts?"""

import pandas as pd

from taujp_core.applications.encoder import ENCODER
from taujp_core.applications.linearised import LINEARISED

from ..sentences import share

SAID = {LINEARISED.name: "linearised models", ENCODER.name: "encoders"}


def conclusion(ranks: pd.DataFrame, errors: pd.DataFrame) -> str:
    """A line for each application, and last how wrong a forecast is. ranks, errors: of those functions of `errors`."""
    said = []
    for application, found in ranks.groupby("application", sort=False):
        rho = found.pivot(index="predictor", columns="kind", values="rho")
        said.append(
            f"For {SAID[application]} the forecast ranks what is lost with ρ {share(rho.sums['forecast'])} in sums and "
            f"{share(rho.pairs['forecast'])} in pairs; τJp alone with {share(rho.sums['tau_jp'])} and {share(rho.pairs['tau_jp'])}."
        )
    most = errors[(errors.asked == errors.asked.max()) & errors.kind.isin(["pairs", "sums"])]
    said.append(
        f"From {int(most.asked.max())} unlabelled images per task, the accuracy of a plan is forecast with a mean error of "
        f"{most.error.mean():.3f}, and {most.covered.mean():.0%} of what comes is in the 90 % intervals, which reach "
        f"{most.half.median():.2f} to either side."
    )
    return "\n".join(said)
