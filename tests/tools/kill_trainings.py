"""Is a training the same however often it is killed? Kills with −9 at random moments, and compares with one left alone.

    python tests/tools/kill_trainings.py --kills 100 --seed 0

Task vectors by four methods, from zero and from a vector, with snapshots and accumulation; joint training, pre-training and
invariant networks. A few seconds a kill; the tests do six.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from kills import kill_trainings

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = kill_trainings(chosen.kills, Path(folder), chosen.seed)
    print(
        f"{report.kills} kills of {report.trainings} trainings in {time.perf_counter() - started:.0f} s; "
        f"{report.resumptions} times a saved state was taken up; {len(report.different)} trainings ended otherwise"
    )
    print("\n".join(report.different))
    sys.exit(bool(report.different))
