"""One trigger of a detector: a status that is ended once, whoever comes first."""

import threading
from dataclasses import dataclass, field

from ophyd.status import DeviceStatus


@dataclass
class Exposure:
    """One trigger: its status, and whether it was cancelled or has come to an end.

    Attributes
    ----------
    status : DeviceStatus
        What `trigger` returned.
    cancelled : threading.Event
        Set where a pause or a stop breaks the exposure off.
    finished : threading.Event
        Set once the thread that exposes is done with it.
    """

    status: DeviceStatus
    cancelled: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    def end(self, error: Exception | None = None) -> None:
        """End the status, with the `error` where there is one; one that has ended stays as it is.

        The worker and a pause may both come: call it under the detector's lock.
        """
        if self.status.done:
            return
        if error is None:
            self.status.set_finished()
        else:
            self.status.set_exception(error)
