"""StreamResource and StreamDatum documents of a detector that is read in a step scan, safe against rewinding.

When a pause or a suspension comes, the RunEngine throws away what it had of the point and takes it again. A
frame whose StreamDatum never went out must then be overwritten, else the file holds one frame more than there
are points and every later frame is shown against the wrong point.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from event_model import compose_stream_resource
from event_model.documents import StreamDatum, StreamRange, StreamResource

StreamDocument = tuple[str, StreamResource | StreamDatum]


class StreamDocuments:
    """Composes the documents of one file and knows which frame index comes next.

    Parameters
    ----------
    path : pathlib.Path
        The HDF5 file.
    data_key : str
        Key of the image in the event descriptor.
    dataset : str
        Path of the frames inside the file.
    shape : tuple of int
        Rows and columns of a frame.
    followed : bool
        Whether emitted documents will be reported to `confirm`; only those then count as gone out. Otherwise
        collected ones do, which is wrong for a pause between reading and saving.
    """

    def __init__(
        self, path: Path, *, data_key: str, dataset: str, shape: tuple[int, int], followed: bool = False
    ):
        bundle = compose_stream_resource(
            mimetype="application/x-hdf5",
            uri="file://localhost" + quote(path.resolve().as_posix()),
            data_key=data_key,
            parameters={"dataset": dataset, "swmr": True, "chunk_shape": [1, *shape]},
        )
        self._resource = bundle.stream_resource_doc
        self._compose_datum = bundle.compose_stream_datum
        self._resource_sent = False
        self._queue: deque[StreamDocument] = deque()
        self._index = 0
        self._followed = followed
        self._any_went_out = False
        self._taken = self._collected = self._confirmed = False

    @property
    def index(self) -> int:
        """Index of the frame taken last, or of the one to be taken."""
        return self._index

    @property
    def frame_count(self) -> int:
        """Number of frames announced so far."""
        return self._index + int(self._taken)

    def begin_frame(self, at: int | None = None) -> int:
        """Return the index for a new exposure: the previous one again if its document never went out.

        A detector that cannot overwrite says itself `at` which index its file has the frame.
        """
        if self._taken and self._went_out():
            self._index += 1
            self._any_went_out = True
        elif self._taken and not self._any_went_out:
            self._resource_sent = False  # the resource was lost together with the first frame's document
        self._taken = self._collected = self._confirmed = False
        self._queue.clear()
        if at is not None:
            self._index = at
        return self._index

    def _went_out(self) -> bool:
        """Whether the RunEngine emitted the last document; without its word, whether it took it."""
        return self._confirmed if self._followed else self._collected

    def announce(self) -> None:
        """Queue the documents of the frame that has just been written."""
        if not self._resource_sent:
            self._queue.append(("stream_resource", StreamResource(**self._resource)))
        datum = self._compose_datum(StreamRange(start=self._index, stop=self._index + 1))
        self._queue.append(("stream_datum", datum))
        self._taken = True

    def collect(self) -> Iterator[StreamDocument]:
        """Hand over what is queued."""
        while self._queue:
            name, document = self._queue.popleft()
            self._resource_sent = True
            self._collected = True
            yield name, document

    def confirm(self, datum: dict[str, Any]) -> None:
        """Note that this StreamDatum was emitted."""
        if datum["stream_resource"] == self._resource["uid"] and datum["indices"]["start"] == self._index:
            self._confirmed = True
