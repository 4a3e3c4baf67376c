"""The queue server: a real RE Manager with its worker; redis-server where there is one, else fakeredis."""

import contextlib
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from bluesky_queueserver import ZMQCommSendThreads

import profile_collection
from callbacks.catalogue import rocking_starts
from callbacks.locks import exclusive_lock
from profile_collection.session.storage import open_catalogue

pytestmark = pytest.mark.slow

STARTUP = Path(profile_collection.__file__).parent / "startup"
USER = {"user": "a user", "user_group": "primary"}
SCAN = {"eta_start": 17.75, "eta_stop": 17.9, "eta_step": 0.01}
LIMIT = 150.0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """Return the address of a Redis of our own."""
    port = free_port()
    if program := shutil.which("redis-server"):
        folder = tmp_path_factory.mktemp("redis")
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        yield f"127.0.0.1:{port}"
        process.terminate()
        process.wait()
        return
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{port}"
    server.shutdown()
    server.server_close()
    thread.join()


class Queue:
    """What a client of the queue server may send it."""

    def __init__(self, port, eventually):
        self.eventually = eventually
        self._client = ZMQCommSendThreads(zmq_server_address=f"tcp://127.0.0.1:{port}")

    def __call__(self, method, **parameters):
        return self._client.send_message(method=method, params=parameters, timeout=20000)

    def wait(self, **wanted):
        """Return the status once it is as wanted."""
        return self.eventually(lambda: self._as(wanted), LIMIT, str(wanted))

    def _as(self, wanted):
        status = self("status")
        return all(status[key] == value for key, value in wanted.items()) and status

    def add(self, name, **arguments):
        item = {"item_type": "plan", "name": name, "kwargs": arguments}
        return self("queue_item_add", item=item, **USER)

    def last(self):
        """Return how the last plan ended."""
        return self("history_get")["items"][-1]["result"]

    def close(self):
        self._client.close()
        self._client._ctx.term()


@pytest.fixture(scope="module")
def queue(workplace, redis, programs, tmp_path_factory, eventually):
    """Return a client of a running RE Manager whose worker has loaded the profile."""
    folder = tmp_path_factory.mktemp("queue")
    control, info = free_port(), free_port()
    command = [
        programs / "start-re-manager",
        f"--startup-dir={STARTUP}",
        f"--redis-addr={redis}",
        f"--existing-plans-devices={folder / 'existing.yaml'}",
        f"--zmq-control-addr=tcp://127.0.0.1:{control}",
        f"--zmq-info-addr=tcp://127.0.0.1:{info}",
    ]
    log = (folder / "log.txt").open("w")
    process = subprocess.Popen(
        command, env={**workplace[1], "OMP_NUM_THREADS": "1"}, stdout=log, stderr=subprocess.STDOUT
    )
    client = Queue(control, eventually)
    try:
        opened = client("environment_open")
        assert opened["success"], opened
        client.wait(manager_state="idle", worker_environment_exists=True)
        yield client
        client("environment_close")
        with contextlib.suppress(TimeoutError):
            client.wait(manager_state="idle", worker_environment_exists=False)
    except Exception:
        print((folder / "log.txt").read_text()[-5000:])
        raise
    finally:
        with contextlib.suppress(Exception):
            client("manager_stop", option="safe_off")
            process.wait(30)
        if process.poll() is None:
            client("manager_kill")
            process.kill()
        process.wait()
        client.close()
        log.close()


def test_every_plan_and_device_is_listed_typed_described_and_with_its_range(queue):
    plans = queue("plans_existing")["plans_existing"]
    assert {"temperature_series", "rocking_scan", "locate_reflection", "soak"} <= plans.keys()
    for plan in plans.values():
        assert plan["description"]
        for parameter in plan["parameters"]:
            assert parameter["description"], (plan["name"], parameter)
            assert parameter["annotation"]["type"], (plan["name"], parameter)
            if "float" in parameter["annotation"]["type"]:
                assert float(parameter["min"]) < float(parameter["max"]), (plan["name"], parameter)
    devices = queue("devices_existing")["devices_existing"]
    assert {"diffractometer", "heated_stage", "merlin", "beam"} <= devices.keys()
    assert devices["heated_stage"]["is_movable"]
    assert devices["merlin"]["is_readable"]


@pytest.mark.parametrize(
    ("plan", "arguments", "complaint"),
    [
        ("temperature_series", {"temperatures": [320.0, 9999.0]}, "Value 9999.0 is out of range"),
        ("temperature_series", {"temperatures": [320.0], "eta_step": 0.0}, "Value 0.0 is out of range"),
        ("temperature_series", {"temperatures": [320.0], "exposure": -1.0}, "Value -1.0 is out of range"),
        ("temperature_series", {"temperatures": "320"}, "Incorrect parameter type: key='temperatures'"),
        ("rocking_scan", {"eta_start": -500.0}, "Value -500.0 is out of range"),
        ("locate_reflection", {"exposure": 1e9}, "is out of range"),
        ("soak", {"temperature": 20.0}, "Value 20.0 is out of range"),
        ("soak", {}, "missing a required argument"),
        ("soak", {"temperature": 320.0, "speed": 3}, "unexpected keyword argument"),
    ],
)
def test_a_number_out_of_range_is_refused_when_it_is_queued(queue, plan, arguments, complaint):
    answer = queue.add(plan, **arguments)
    assert not answer["success"]
    assert complaint in answer["msg"]
    assert queue("queue_get")["items"] == []


def test_users_run_plans_and_nothing_else(queue):
    assert queue("devices_allowed", user_group="primary")["devices_allowed"] == {}
    assert queue("plans_allowed", user_group="primary")["plans_allowed"].keys() == (
        queue("plans_existing")["plans_existing"].keys()
    )
    for name in ("open_session", "refuse_scripts", "print", "eval"):
        answer = queue("function_execute", item={"item_type": "function", "name": name}, **USER)
        assert not answer["success"]
        assert "not allowed" in answer["msg"]
    for name in ("mv", "count", "_plans"):
        answer = queue.add(name)
        assert not answer["success"]
        assert "not in the list of allowed plans" in answer["msg"]
    item = {"item_type": "plan", "name": "soak", "kwargs": {"temperature": 320.0}}
    assert not queue("queue_item_add", item=item, user="a user", user_group="strangers")["success"]


def test_a_script_is_refused_in_words_and_nothing_of_it_is_run(queue, tmp_path):
    """The queue server itself has no permissions for scripts: its worker refuses them."""
    trace = tmp_path / "trace"
    script = f"open({str(trace)!r}, 'w').close()\ndef intruder():\n    yield\n"
    uid = queue("script_upload", script=script)["task_uid"]
    queue.wait(manager_state="idle")
    queue.eventually(lambda: queue("task_result", task_uid=uid)["status"] == "completed", LIMIT)
    found = queue("task_result", task_uid=uid)
    assert found["result"]["success"] is False
    assert "this queue runs the plans of its profile and nothing else" in found["result"]["msg"]
    assert not trace.exists()
    assert "intruder" not in queue("plans_existing")["plans_existing"]
    assert queue("environment_update")["success"]  # the lists are still renewed when asked for
    queue.wait(manager_state="idle")


def begin(queue, temperature):
    """Queue a short series, start it, and return once its rocking scan has begun."""
    answer = queue.add("temperature_series", temperatures=[temperature], locate=False, exposure=1.0, **SCAN)
    assert answer["success"], answer["msg"]
    assert queue("queue_start")["success"]
    queue.wait(re_state="running")
    queue.eventually(lambda: queue("re_runs", option="open")["run_list"], LIMIT)


def last_stop(settings):
    """Return the stop document of the last run, and of a rocking scan its points."""
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        runs = sorted(catalogue.raw.v3.values(), key=lambda run: run.metadata["start"]["time"])
        return runs[-1].metadata["start"], runs[-1].metadata["stop"]


def test_a_queued_series_runs_is_paused_and_goes_on_to_its_end(queue, workplace):
    begin(queue, 330.0)
    assert queue("re_pause", option="immediate")["success"]
    queue.wait(re_state="paused", manager_state="paused")
    assert queue("re_resume")["success"]
    queue.wait(manager_state="idle", items_in_queue=0)
    result = queue.last()
    assert result["exit_status"] == "completed", result
    start, stop = last_stop(workplace[0])
    assert (start["purpose"], start["temperature_setpoint"]) == ("rocking", 330.0)
    assert start["uid"] in result["run_uids"]
    assert stop["exit_status"] == "success"
    assert stop["num_events"]["primary"] == start["scan"]["num"] == 16
    with contextlib.closing(open_catalogue(workplace[0])) as catalogue:
        run = catalogue.raw.v3[start["uid"]]
        assert run["primary/merlin_image"].shape[0] == 16
        assert list(run["primary/merlin_frame_index"].read()) == list(range(16))


@pytest.mark.parametrize(
    ("command", "exit_status", "recorded"),
    [("re_stop", "stopped", "success"), ("re_abort", "aborted", "abort")],
)
def test_a_queued_series_is_ended_early_and_the_next_one_runs(
    queue, workplace, command, exit_status, recorded
):
    begin(queue, 335.0)
    assert queue("re_pause", option="immediate")["success"]
    queue.wait(re_state="paused", manager_state="paused")
    assert queue(command)["success"]
    queue.wait(manager_state="idle")
    assert queue.last()["exit_status"] == exit_status
    assert last_stop(workplace[0])[1]["exit_status"] == recorded
    queue("queue_clear")
    begin(queue, 335.0)
    queue.wait(manager_state="idle", items_in_queue=0)
    assert queue.last()["exit_status"] == "completed"
    start, stop = last_stop(workplace[0])
    assert stop["num_events"]["primary"] == start["scan"]["num"]


def test_what_the_queue_server_writes_is_ignored_by_git_and_not_shipped():
    root = STARTUP.parents[1]
    ignored = (root / ".gitignore").read_text().split()
    assert "profile_collection/startup/existing_plans_and_devices.yaml" in ignored
    assert [path.name for path in STARTUP.glob("*.yaml") if "existing" not in path.name] == [
        "user_group_permissions.yaml"
    ]


def is_free(path):
    with contextlib.suppress(BlockingIOError), exclusive_lock(path):
        return True
    return False


def test_the_results_of_queued_scans_are_stored_when_the_environment_closes(queue, workplace):
    """Runs last: the session of the worker ends as any other, with its analysis done."""
    assert queue("environment_close")["success"]
    queue.wait(manager_state="idle", worker_environment_exists=False)
    settings = workplace[0]
    lock = settings.private / "session.lock"
    queue.eventually(lambda: is_free(lock), LIMIT)  # the worker goes on after the manager has let it go
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        derived = [run.metadata["start"]["parent_run_uid"] for run in catalogue.processed.v3.values()]
        complete = [
            start["uid"]
            for start in rocking_starts(catalogue)
            if catalogue.raw.v3[start["uid"]].metadata["stop"]["num_events"].get("primary") == 16
        ]
    assert sorted(derived) == sorted(complete)
    assert len(complete) >= 3
    assert list((settings.private / "pending").glob("*")) == []
