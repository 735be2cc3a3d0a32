"""Lambda without Docker: a function of the runtimes `provided.*` is a process of this machine, its `bootstrap`.

LocalStack 4.14.0 runs functions in containers alone. Here each execution environment has a Runtime API of its own
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) and a bootstrap that asks it. The processes stay in the
engine's process group: who ends the group, ends them too.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import localstack.services.lambda_.invocation.runtime_executor as runtime_executor
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from fixes import streams

API = "/2018-06-01/runtime"
# What its tests have fail of a function's calls, as internal/boot/faults.go reads it.
FAULTS = {name: value for name, value in os.environ.items() if name == "MUSKETRY_FAULTS"}
INIT_SECONDS = 10  # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
ANSWER_BYTES = 6_291_556  # of a buffered answer: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LOG_BYTES = 256 * 1024  # of one invocation's log that are kept

MARK = "\0caught up\n"  # in what a process writes, behind all of it
ENDED = object()  # what an outbox gets when its process has ended

started = set()  # the executors that have a process
started_lock = threading.Lock()


def install():
    plugin = SimpleNamespace(load=lambda: ProcessExecutor)
    runtime_executor.EXECUTOR_PLUGIN_MANAGER = SimpleNamespace(exists=lambda name: True, load=lambda name: plugin)


def end_all():
    """Ends every function's process, whatever it does, for the engine's own end."""
    with started_lock:
        for executor in started:
            executor.environment.end()


class Environment:
    """One process of a function and the Runtime API that it asks. A process that has ended has no other after it."""

    def __init__(self, folder, variables, log):
        self.inbox, self.outbox = queue.Queue(), queue.Queue()
        self.ready = threading.Event()
        self.init_error = None
        self.stream = None  # of the invocation that is answered by one
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), RuntimeAPI)
        self.server.daemon_threads = True
        self.server.environment = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
        address = f"127.0.0.1:{self.server.server_port}"
        output, self.input = os.pipe()
        self.input_lock = threading.Lock()
        self.followed = threading.Event()
        self.process = subprocess.Popen(
            [os.path.join(folder, "bootstrap")],
            cwd=folder,
            env=FAULTS | variables | {"PATH": "/usr/bin:/bin", "LAMBDA_TASK_ROOT": folder, "AWS_LAMBDA_RUNTIME_API": address},
            stdout=self.input,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self.reap, daemon=True).start()
        threading.Thread(target=self.follow, args=(open(output, errors="replace"), log), daemon=True).start()

    def reap(self):
        self.process.wait()
        with self.input_lock:
            os.close(self.input)
            self.input = None

    def catch_up(self):
        """Waits until the log has what the process has written by now, which its answer may overtake: a mark follows it."""
        with self.input_lock:
            if self.input is None:
                return
            self.followed.clear()
            os.write(self.input, MARK.encode())
        self.followed.wait()

    def follow(self, output, log):
        with output:
            for line in output:
                written, mark, _ = line.partition(MARK)
                if written:
                    log(written + "\n" if mark else written)
                if mark:
                    self.followed.set()
        self.process.wait()
        self.followed.set()
        self.ready.set()
        self.outbox.put(ENDED)

    def lives(self):
        return self.process.poll() is None

    def end(self):
        if self.lives():
            self.process.send_signal(signal.SIGKILL)
        self.inbox.put(None)
        threading.Thread(target=self.close, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class RuntimeAPI(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # with delayed acknowledgements it costs 40 ms an invocation
    wbufsize = -1

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self):
        environment = self.server.environment
        if self.path != API + "/invocation/next":
            self.reply(404)
            return
        environment.ready.set()
        asked = environment.inbox.get()
        if asked is None:
            self.close_connection = True
            return
        payload, deadline = asked
        self.reply(200, payload["payload"].encode(), [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", payload["invoke-id"]),
            ("Lambda-Runtime-Deadline-Ms", str(int(deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", payload["invoked-function-arn"]),
            ("Lambda-Runtime-Trace-Id", payload["trace-id"]),
        ])  # fmt: skip

    def do_POST(self):
        environment = self.server.environment
        parts = self.path.removeprefix(API).strip("/").split("/")
        streamed = self.headers.get("Content-Type") == streams.STREAM_TYPE
        if parts == ["init", "error"]:
            environment.init_error = self.body()
            environment.ready.set()
        elif len(parts) == 3 and parts[0] == "invocation" and parts[2] in ("response", "error"):
            if streamed and environment.stream is not None:
                answer, failed = self.pass_on(environment.stream)
            else:
                answer, failed = self.body(), parts[2] == "error"
            environment.outbox.put((parts[1], answer, failed))
        else:
            self.body()
            self.reply(404)
            return
        self.reply(202, b'{"status":"OK"}')

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(streams.chunks(self.rfile))
            streams.trailers(self.rfile)
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def pass_on(self, stream):
        """Passes a streamed answer on, and gives what the invocation itself is answered with."""
        failure, end = "Runtime.ExitError", streams.BROKEN
        try:
            for piece in streams.chunks(self.rfile):
                stream.put(piece)
            failure = streams.trailers(self.rfile).get(streams.STREAM_ERROR.lower())
            end = streams.BROKEN if failure else streams.WHOLE
        except (ConnectionError, ValueError):
            self.close_connection = True
        finally:
            stream.put(end)
        return json.dumps({"errorType": failure} if failure else {}).encode(), bool(failure)


class ProcessExecutor(RuntimeExecutor):
    """Runs the invocations of one execution environment, one after the other."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.environment = None
        self.variables = {}
        self.timeout = function_version.config.timeout
        self.log, self.log_size, self.log_lock = [], 0, threading.Lock()

    @classmethod
    def prepare_version(cls, function_version):
        code = function_version.config.code
        code.prepare_for_execution()
        (code.get_unzipped_code_location() / "bootstrap").chmod(0o755)

    @classmethod
    def cleanup_version(cls, function_version):
        pass

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        return "http://127.0.0.1"

    def get_logs(self):
        with self.log_lock:
            return "".join(self.log)

    def take_line(self, line):
        with self.log_lock:
            if self.log_size < LOG_BYTES:
                self.log.append(line)
                self.log_size += len(line)

    def forget_log(self):
        with self.log_lock:
            self.log, self.log_size = [], 0

    def spawn(self):
        folder = str(self.function_version.config.code.get_unzipped_code_location())
        with started_lock:
            started.add(self)
            self.environment = Environment(folder, self.variables, self.take_line)

    def start(self, env_vars):
        self.variables = {name: str(value) for name, value in env_vars.items()}
        self.spawn()
        environment = self.environment
        if not environment.ready.wait(INIT_SECONDS) or environment.init_error or not environment.lives():
            error = environment.init_error or ("the function did not start: " + self.get_logs()[-500:]).encode()
            self.stop()
            raise RuntimeError(error)

    def stop(self):
        with started_lock:
            started.discard(self)
        if self.environment:
            self.environment.end()

    def restart(self):
        self.stop()
        self.spawn()

    def invoke(self, payload):
        request_id = payload["invoke-id"]
        self.forget_log()
        if not self.environment.lives():
            self.restart()
        environment = self.environment
        environment.stream = streams.asked_for(payload["payload"])
        begun = time.time()
        environment.inbox.put((payload, begun + self.timeout))
        answer, failed = self.answer(environment, request_id)
        environment.catch_up()
        took = (time.time() - begun) * 1000
        log = (
            f"START RequestId: {request_id} Version: {self.function_version.id.qualifier}\n"
            f"{self.get_logs()}END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {took:.2f} ms\tBilled Duration: {int(took) + 1} ms\t"
            f"Memory Size: {self.function_version.config.memory_size} MB\n"
        )
        return InvocationResult(request_id, answer, is_error=failed, logs=log)

    def answer(self, environment, request_id):
        """Gives an invocation's answer and whether it failed: by its function, its end, its time or its size."""
        try:
            got = environment.outbox.get(timeout=self.timeout)
        except queue.Empty:
            self.restart()
            return told(f"{request_id} Task timed out after {self.timeout:.2f} seconds", "Sandbox.Timedout")
        if got is ENDED:
            code = environment.process.returncode
            return told(f"RequestId: {request_id} Error: Runtime exited with error: exit status {code}", "Runtime.ExitError")
        _, answer, failed = got
        if len(answer) > ANSWER_BYTES:
            return told(
                f"Response payload size exceeded maximum allowed payload size ({ANSWER_BYTES} bytes).",
                "Function.ResponseSizeTooLarge",
            )
        return answer, failed


def told(message, kind):
    return json.dumps({"errorType": kind, "errorMessage": message}).encode(), True
