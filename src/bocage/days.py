"""Dates as days since 1970-01-01, the times of images in cubes and samples."""

import datetime

EPOCH = datetime.date(1970, 1, 1)
YEAR = 365.25
"""Mean length of a year, in days."""


def date_of(day: int) -> datetime.date:
    """Return the date of a day since 1970-01-01.

    >>> date_of(17662)
    datetime.date(2018, 5, 11)
    """
    return EPOCH + datetime.timedelta(int(day))
