"""Where does `python -m analysis.studies` begin? Imports take seconds, in which Ctrl-C ends as quietly as later."""

import signal
import sys

from ..studies.stopped import end_at_once

if __name__ == "__main__":
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as of a command in the background
        signal.signal(signal.SIGINT, end_at_once)
    from ..studies.command import main

    signal.signal(signal.SIGINT, before)
    sys.exit(main())
