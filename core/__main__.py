"""``python -m core``: the command line over the same core as the pages. What the commands do is in ``cli.py``."""

import os
import sys

from core.errors import UserError


def main() -> None:
    """Runs one command. A UserError becomes its sentence on stderr and exit code 2, never a traceback."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # waiting threads that spin make every step several times slower
    from core.cli import app

    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
