"""Bocage: land-cover maps of agricultural landscapes from the imagery and the few polygons that people have.

Importing the package does no work; ``bocage.jobs.run`` is the whole flow.
"""

__version__ = "0.1.0"
