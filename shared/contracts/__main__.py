"""Write the generated contracts anew; with `--release X.Y.Z`, keep the schemas of that release."""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.contracts import release, write

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.contracts", description=__doc__)
    parser.add_argument("--release", metavar="X.Y.Z", help="also keep the schemas as those of this release")
    wanted = parser.parse_args()
    written = write(ROOT)
    if wanted.release:
        try:
            written += release(ROOT, wanted.release)
        except ValueError as error:
            parser.error(str(error))
    print(f"{len(written)} contracts are up to date")


if __name__ == "__main__":
    main()
