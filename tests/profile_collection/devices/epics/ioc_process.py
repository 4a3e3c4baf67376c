"""A soft IOC over a tiny crystal, as a process of its own: port, data folder, pace."""

import sys
from pathlib import Path

from profile_collection.devices.epics.process_variables import read_process_variables
from profile_collection.twin import Clock, CrystalConfig, DetectorConfig, Twin, TwinConfig
from profile_collection.twin.ioc import TwinIoc, prepare_server, serve

TINY = TwinConfig(
    crystal=CrystalConfig(
        size=(500, 500, 500), pitch=(12.5, 12.5, 12.5), correlation_length=200, domain_length=150
    ),
    detector=DetectorConfig(roi=(96, 160, 96, 160), quadrature=1),
    threads=1,
)

if __name__ == "__main__":
    port, folder, pace = sys.argv[1:]
    names = read_process_variables(port=int(port))
    prepare_server(names.channel_access)
    twin = Twin(TINY, Clock(float(pace), start=1e9))
    twin.set_axis("delta", 25.1079)  # puts the peak on the region that is read out
    twin.set_axis("gam", 0.3428)
    serve(TwinIoc(twin, names, Path(folder), heartbeat_timeout=2.0), names.channel_access)
