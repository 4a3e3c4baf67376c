"""The fault campaign: seeded random faults over quick series of real processes, judged against the truth."""

from profile_collection.campaign.kinds import KINDS, Fault, SeriesTask, draw

__all__ = ["KINDS", "Fault", "SeriesTask", "draw"]
