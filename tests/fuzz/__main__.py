"""`python -m tests.fuzz`: breed answers for a while, and stop at the first that is not right.

Exit status 0: nothing was found; 1: something was, and stands in the file that is named.
"""

import argparse
import sys
from pathlib import Path
from random import Random

from tests.fuzz.campaign import Campaign
from tests.fuzz.inputs import decode
from tests.fuzz.judge import judge


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long to go on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same inputs (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/fuzz"), metavar="DIR", help="where findings are written (default: %(default)s)")
    parser.add_argument("--findings", type=int, default=1, metavar="N", help="stop after N different kinds of problem (default: %(default)s)")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="judge the input of one finding again")
    options = parser.parse_args(arguments)
    if options.repeat is not None:
        problem = judge(decode(options.repeat.read_bytes()), Random(0), thorough=True)
        print("all is well" if problem is None else f"{problem.kind}\n{problem.detail}")
        return problem is not None
    campaign = Campaign(options.seed)
    for finding in campaign.run(options.minutes * 60, options.findings):
        print(f"\n{finding.problem.kind}\n{finding.problem.detail}\n{finding.given}\nwritten to {finding.write(options.out)}")
    return bool(campaign.findings)


if __name__ == "__main__":
    sys.exit(main())
