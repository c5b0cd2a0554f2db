"""Settings → a folder of image files: a simulated agricultural landscape whose land cover is known everywhere."""

from bocage.simulate.formats import FORMATS
from bocage.simulate.landscape import LEGEND, World
from bocage.simulate.simulation import SENSORS, Simulation, deliver, simulate

__all__ = ["FORMATS", "LEGEND", "SENSORS", "Simulation", "World", "deliver", "simulate"]
