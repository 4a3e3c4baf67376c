"""The main thread hears a signal that another thread was given, while it waits for a plan."""

import signal
import threading

from profile_collection.session.waiting import HearingTask


def test_a_signal_that_another_thread_was_given_is_heard_while_a_plan_runs():
    """With bluesky's own way of waiting this test does not end: the handler runs after the wait."""
    ended = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: ended.set())
    sent = threading.Timer(0.3, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    try:
        sent.start()
        HearingTask().block(ended)
    finally:
        sent.join()
        signal.signal(signal.SIGUSR1, before)
    assert ended.is_set()
