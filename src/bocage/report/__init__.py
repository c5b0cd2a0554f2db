"""Reports of runs and comparisons: single HTML files that open without a network.

``report.page`` and ``report.comparison`` write the pages. They import matplotlib, so this package does not import them.
"""

from bocage.report.settings import Reporting

__all__ = ["Reporting"]
