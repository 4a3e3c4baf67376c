"""What is measured and how it is analysed: the experiment as data, one typed description on disk."""

from analysis.experiment.description import (
    Experiment,
    Reflection,
    Sample,
    Window,
    load_experiment,
    paper,
)

__all__ = ["Experiment", "Reflection", "Sample", "Window", "load_experiment", "paper"]
