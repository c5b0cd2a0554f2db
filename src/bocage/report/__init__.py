"""Score + map → the page a person reads: one HTML file that opens without a network.

Pages are written by ``report.page`` and ``report.comparison``, which draw with matplotlib: whoever needs them imports them.
"""

from bocage.report.settings import Reporting

__all__ = ["Reporting"]
