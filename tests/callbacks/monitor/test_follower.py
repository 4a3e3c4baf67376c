"""The follower where no websocket is to be had: it looks by itself."""

import asyncio
import threading
import time

import event_model
import pytest
import websockets.asyncio.client
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from callbacks.catalogue import connect
from callbacks.monitor import follower as follower_module
from callbacks.monitor.follower import Follower
from profile_collection.catalogue.client import ensure_server, status, stop_server

SERIES = "20260101-000000-polled"
NAMES = ("eta", "Tsample", "Tset", "merlin_total")
KEY = {"dtype": "number", "dtype_numpy": "<f8", "shape": [], "source": "test"}


class Refusing:
    """A websocket that never opens."""

    def __init__(self, error):
        self._error = error

    def __call__(self, *_, **__):
        return self

    async def __aenter__(self):
        raise self._error

    async def __aexit__(self, *_):
        return None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("polled") / "data"
    ensure_server(folder)
    yield folder
    stop_server(folder)


@pytest.fixture(
    params=[
        InvalidStatus(Response(404, "Not Found", Headers())),
        ConnectionResetError("a proxy lets no websocket through"),
    ],
    ids=["not streamed", "blocked"],
)
def followed(request, data, monkeypatch):
    """Return a follower that has no streams, running in a thread."""
    monkeypatch.setattr(websockets.asyncio.client, "connect", Refusing(request.param))
    monkeypatch.setattr(follower_module, "LOOK_WITHOUT_STREAMS", 0.2)

    def address():
        found = status(data)
        return found.address if found else None

    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(_made(address))
    task = loop.create_task(made.run())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield made
    loop.call_soon_threadsafe(task.cancel)
    while not task.done():
        time.sleep(0.05)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _made(address):
    return Follower(address, lambda uid: None)


@pytest.mark.slow
def test_points_and_the_end_of_a_run_are_seen_without_a_stream(followed, data, eventually):
    from bluesky_tiled_plugins import TiledWriter

    eventually(lambda: not followed.problem, what="the catalogue is open")
    catalogue = connect(ensure_server(data).address)
    writer = TiledWriter(catalogue.raw, batch_size=1)
    metadata = {"purpose": "rocking", "series_uid": SERIES, "series_index": 0, "series_size": 1}
    run = event_model.compose_run(metadata={**metadata, "temperature_setpoint": 320.0})
    uid = run.start_doc["uid"]
    writer("start", run.start_doc)
    primary = run.compose_descriptor(name="primary", data_keys=dict.fromkeys(NAMES, KEY))
    writer("descriptor", primary.descriptor_doc)
    for number in range(3):
        values = dict.fromkeys(NAMES, 320.0 + number)
        stamps = dict.fromkeys(NAMES, time.time())
        writer("event", primary.compose_event(data=values, timestamps=stamps))
        eventually(
            lambda: (
                uid in followed.series(SERIES).runs
                and len(followed.series(SERIES).runs[uid].points) == number + 1  # noqa: B023  called at once
            ),
            what=f"point {number + 1}",
        )
    assert followed.current == SERIES
    assert not followed.series(SERIES).runs[uid].stop
    writer("stop", run.compose_stop())
    eventually(lambda: followed.series(SERIES).runs[uid].stop, what="the stop document")
    assert followed.problem == ""
    catalogue.close()
