"""The fault campaign: seeded random faults over quick series of real processes, judged against the truth."""
