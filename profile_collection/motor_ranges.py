"""How far and how fast the simulated motors go, as devices of this process or as records of the soft IOC."""

LIMITS: dict[str, tuple[float, float]] = {
    "mu": (-5.0, 90.0),
    "eta": (-20.0, 100.0),
    "chi": (-10.0, 105.0),
    "phi": (-180.0, 180.0),
    "gam": (-5.0, 120.0),
    "delta": (-5.0, 130.0),
    "sx": (-5.0, 5.0),
    "sy": (-5.0, 5.0),
    "sz": (-5.0, 5.0),
}
"""Lowest and highest position of each motor, degrees or mm."""

SPEEDS: dict[str, float] = {
    "mu": 0.5,
    "eta": 0.5,
    "chi": 1.0,
    "phi": 2.0,
    "gam": 1.0,
    "delta": 1.0,
    "sx": 0.5,
    "sy": 0.5,
    "sz": 0.5,
}
"""Degrees or mm per second."""
