"""Starts MiniStack with fixes made in memory; the installed package stays as it came.

Each fix says what it mends; permissions.py has those of permissions. Beside the server, `GET /_musketry/calls` tells what
was called since the start, by service and operation, as JSON.
"""

import asyncio
import contextvars
import copy
import functools
import json
import os
import re
import socketserver
import sys
import threading
import types
import uuid
from collections import Counter
from urllib.parse import parse_qs

sys.dont_write_bytecode = True
os.environ["AUTH"] = "true"  # each call is held to its caller's permissions, as on AWS

# The Lambda runtime API sends headers and body apart: Nagle's algorithm with delayed acknowledgements costs 40 ms an
# invocation.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

import ministack.app as app  # noqa: E402
import ministack.core.lambda_runtime as lambda_runtime  # noqa: E402
import ministack.services._dynamodb_keywords as keywords  # noqa: E402
import ministack.services.apigateway_v1 as apigateway  # noqa: E402
import ministack.services.cloudwatch_logs as cloudwatch_logs  # noqa: E402
import ministack.services.dynamodb as dynamodb  # noqa: E402
import ministack.services.lambda_svc as lambda_svc  # noqa: E402
import ministack.services.s3 as s3  # noqa: E402
import ministack.services.sqs as sqs  # noqa: E402
import ministack.services.stepfunctions as stepfunctions  # noqa: E402
from ministack.core.responses import StreamingResponse  # noqa: E402

import permissions  # noqa: E402

# A function that logs nothing waits 50 ms an invocation for its first line, one that logs waits 5 ms more.
lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.003, 0.001, 0.250)

calls = Counter()
calls_lock = threading.Lock()


def count(key, number=1):
    with calls_lock:
        calls[key] += number


execute_function = lambda_svc._execute_function


def execute_function_counted(func, event):
    """Counts the invocation, and mends `"batchItemFailures": null`: AWS reads it as full success, the poller crashes."""
    config = func.get("config") if isinstance(func, dict) else None
    count("lambda.Invoke " + (config or {}).get("FunctionName", "?"))
    result = execute_function(func, event)
    body = result.get("body") if isinstance(result, dict) else None
    if isinstance(body, dict) and "batchItemFailures" in body and body["batchItemFailures"] is None:
        body["batchItemFailures"] = []
    return result


lambda_svc._execute_function = execute_function_counted

def read_again(read):
    """A thread that adds a log stream meanwhile breaks the reading of all; reading again is what mends it."""

    def read_logs(data):
        for _ in range(100):
            try:
                return read(data)
            except RuntimeError as err:
                if "changed size during iteration" not in str(err):
                    raise
        return read(data)

    return read_logs


for name in ("_describe_log_groups", "_describe_log_streams", "_filter_log_events"):
    setattr(cloudwatch_logs, name, read_again(getattr(cloudwatch_logs, name)))

# AWS leaves running invocations alone when their function is updated; later ones run what is new. The engine kills them.
# https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
updating = contextvars.ContextVar("updating", default=False)
invalidate_workers = lambda_runtime.invalidate_worker
release_worker = lambda_runtime.release_worker


def invalidate_idle_workers(name, qualifier=None, account=None, region=None):
    """Ends a function's environments, but in an update those that run: they end when they are done."""
    if not updating.get():
        return invalidate_workers(name, qualifier=qualifier, account=account, region=region)
    with lambda_runtime._lock:
        keys = [key for key in lambda_runtime._workers if key.split(":")[-2:] == [name, qualifier]]
        workers = [worker for key in keys for worker in lambda_runtime._workers.pop(key)]
        for worker in workers:
            worker.retired = worker.in_use
    lambda_runtime.kill_workers([worker for worker in workers if not worker.retired])


def release_or_end_worker(worker):
    release_worker(worker)
    if getattr(worker, "retired", False):
        lambda_runtime.kill_workers([worker])


def update_gently(update):
    def update_as_aws(name, data):
        token = updating.set(True)
        try:
            return update(name, data)
        finally:
            updating.reset(token)

    return update_as_aws


lambda_svc.invalidate_worker = invalidate_idle_workers
lambda_svc.release_worker = release_or_end_worker
lambda_svc._update_code = update_gently(lambda_svc._update_code)
lambda_svc._update_config = update_gently(lambda_svc._update_config)

# API Gateway's response streaming: an integration whose URI ends so is answered while its function writes, with a head
# in JSON, eight zero bytes and the body. The engine knows neither the URI nor such an answer.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
STREAM_URI = "/response-streaming-invocations"
STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
STREAM_ERROR = "Lambda-Runtime-Function-Error-Type"
DELIMITER = bytes(8)
HEAD_LIMIT = 16 * 1024
WHOLE, BROKEN = object(), object()


class Stream:
    """An answer on its way from a function's thread to a client's coroutine, a few pieces at a time."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.pieces = asyncio.Queue(maxsize=4)
        self.begun = False
        self.abandoned = False

    def put(self, piece):
        """Hands over a piece, WHOLE or BROKEN, and waits for room. Nobody waits for a client that has gone."""
        self.begun = True
        if not self.abandoned:
            asyncio.run_coroutine_threadsafe(self.pieces.put(piece), self.loop).result()

    def abandon(self):
        self.abandoned = True
        while not self.pieces.empty():
            self.pieces.get_nowait()

    async def head(self):
        """Gives the answer's head and what came of its body with it, or None for an answer without a head."""
        got = b""
        while len(got) < HEAD_LIMIT:
            piece = await self.pieces.get()
            if piece is WHOLE or piece is BROKEN:
                return None
            got += piece
            head, found, rest = got.partition(DELIMITER)
            if found:
                return json.loads(head), rest
        return None


asked_stream = contextvars.ContextVar("asked_stream", default=None)  # of the request; the engine's threads inherit it
open_streams = {}  # by the invocation's id

invoke_worker = lambda_runtime.ProvidedWorker.invoke


def invoke_worker_streamed(self, event, request_id, **kwargs):
    stream = asked_stream.get()
    if stream is None:
        return invoke_worker(self, event, request_id, **kwargs)
    open_streams[request_id] = stream
    try:
        return invoke_worker(self, event, request_id, **kwargs)
    finally:
        del open_streams[request_id]


lambda_runtime.ProvidedWorker.invoke = invoke_worker_streamed

build_handler = lambda_runtime.ProvidedWorker._build_handler_class


def build_streaming_handler(self, generation, pending):
    """Gives the class behind a function's Runtime API, which passes a streamed answer on as it comes."""
    worker, base = self, build_handler(self, generation, pending)

    class StreamingHandler(base):
        def do_POST(self):
            match = lambda_runtime._INVOCATION_RESULT_RE.search(self.path)
            stream = open_streams.get(match.group(1)) if match else None
            if stream is None or self.headers.get("Content-Type") != STREAM_TYPE:
                super().do_POST()
                return
            failure, end = "Runtime.ExitError", BROKEN
            try:
                failure = self.pass_on(stream)
                end = BROKEN if failure else WHOLE
            finally:
                kind = "error" if failure else "response"
                known = worker._record_result(generation, match.group(1), kind, {"errorType": failure} if failure else {})
                stream.put(end)
            self._respond(202 if known else 400)

        def pass_on(self, stream):
            """Reads chunks up to the last, and gives the type of the error that the function names behind it, if any."""
            while size := int(self.rfile.readline().strip(), 16):
                piece = self.rfile.read(size)
                if len(piece) < size:
                    raise ConnectionError("the function ended within its answer")
                stream.put(piece)
                self.rfile.readline()
            trailers = {}
            while line := self.rfile.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                trailers[name.lower()] = value.strip()
            return trailers.get(STREAM_ERROR.lower())

    return StreamingHandler


lambda_runtime.ProvidedWorker._build_handler_class = build_streaming_handler

invoke_proxy = apigateway._invoke_lambda_proxy_v1


async def invoke_proxy_streamed(integration, *args, **kwargs):
    if not integration.get("uri", "").endswith(STREAM_URI):
        return await invoke_proxy(integration, *args, **kwargs)
    stream = Stream()
    asked_stream.set(stream)
    plain = dict(integration, uri=integration["uri"].removesuffix(STREAM_URI) + "/invocations")
    invocation = asyncio.ensure_future(invoke_proxy(plain, *args, **kwargs))
    head = asyncio.ensure_future(stream.head())
    await asyncio.wait({invocation, head}, return_when=asyncio.FIRST_COMPLETED)
    if not stream.begun:  # the function failed, or was never asked
        head.cancel()
        return await invocation
    told = await head
    if told is None:
        stream.abandon()
        return 502, {"Content-Type": "application/json"}, b'{"message":"Internal server error"}'
    answer, begin = told
    headers = dict(answer.get("headers") or {})
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        headers = {known: value for known, value in headers.items() if known.lower() != name.lower()}
        headers[name] = list(values)
    # A streamed answer goes out in chunks, and what its function said of its length under another name.
    headers = {"x-amzn-Remapped-Content-Length" if n.lower() == "content-length" else n: v for n, v in headers.items()}

    async def run(send, receive):
        piece = begin
        try:
            while piece is not WHOLE and piece is not BROKEN:
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await stream.pieces.get()
        finally:
            stream.abandon()
        if piece is WHOLE:  # what breaks off gets no end: the connection is closed, and the client sees it
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        await invocation

    return answer.get("statusCode", 200), headers, StreamingResponse(run)


apigateway._invoke_lambda_proxy_v1 = invoke_proxy_streamed

call_from_gateway = apigateway._call_lambda_raw


async def call_from_gateway_as_aws(*args, **kwargs):
    """Makes a 500 of a function's want of concurrency, as AWS does; the engine passes its 429 on. See docs/aws.md."""
    result, error = await call_from_gateway(*args, **kwargs)
    if not error and isinstance(result, dict) and result.get("throttle"):
        count("apigateway.Throttled by Lambda")
        return None, "throttled"
    return result, error


apigateway._call_lambda_raw = call_from_gateway_as_aws

receive_for_source = sqs._receive_messages_for_esm
delete_for_source = sqs._delete_messages_for_esm


def receive_for_source_counted(queue_url, max_number):
    """Counts the event source's receives that found messages: AWS long-polls, this engine polls busily."""
    batch = receive_for_source(queue_url, max_number)
    if batch:
        count("sqs.ReceiveMessage (event source)")
    return batch


def delete_for_source_counted(queue_url, receipt_handles):
    if receipt_handles:
        count("sqs.DeleteMessageBatch (event source)")
    return delete_for_source(queue_url, receipt_handles)


sqs._receive_messages_for_esm = receive_for_source_counted
sqs._delete_messages_for_esm = delete_for_source_counted

change_visibilities = sqs._HANDLERS["ChangeMessageVisibilityBatch"]


def change_visibilities_as_aws(*args, **kwargs):
    """Answers InvalidParameterValue where a handle was good once, and its message is deleted or somebody else's: the
    engine takes every such handle for none. See docs/aws.md."""
    result = change_visibilities(*args, **kwargs)
    handles = {entry.get("Id", ""): entry.get("ReceiptHandle", "") for entry in args[0].get("Entries", [])}
    for entry in result["Failed"]:
        handle = handles[entry["Id"]]
        if entry["Code"] == "ReceiptHandleIsInvalid" and HANDLE.fullmatch(handle):
            entry["Code"] = "InvalidParameterValue"
            entry["Message"] = (
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
                "available for visibility timeout change."
            )
    return result


HANDLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
sqs._HANDLERS["ChangeMessageVisibilityBatch"] = change_visibilities_as_aws

# Of what KMS encrypts, an entity tag tells nothing: the same bytes have another one each time that they are put. A bucket
# need not be encrypted so, but whoever relies on tags here would fail there.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
s3.md5_hash = lambda body: uuid.uuid4().hex

# AWS takes a query's time for what it returns, and a statement's for what it changes. The engine reads the key condition
# anew for each item of the partition, each statement of a group twice, and copies an item as if it were any object.
for module, name in ((dynamodb, "_tokenize"), (dynamodb, "_condition_syntax_error"), (keywords, "_tokenize")):
    setattr(module, name, functools.lru_cache(maxsize=1000)(getattr(module, name)))

parse_statement = dynamodb._parse_partiql
last_parsed = (None, None, None)


def parse_statement_once(statement, parameters):
    """Parses a statement, unless it is the very one that was parsed last."""
    global last_parsed
    known, with_parameters, parsed = last_parsed
    if known is not statement or with_parameters is not parameters:
        parsed = permissions.parsed_early.pop((statement, json.dumps(parameters)), None)
        parsed = parsed or parse_statement(statement, parameters)
        last_parsed = (statement, parameters, parsed)
    return parsed


def copy_value(value):
    """Copies what JSON made."""
    if type(value) is dict:
        return {name: copy_value(member) for name, member in value.items()}
    if type(value) is list:
        return [copy_value(member) for member in value]
    return value if type(value) is str else copy.deepcopy(value)


dynamodb._parse_partiql = parse_statement_once
dynamodb.copy = types.SimpleNamespace(deepcopy=copy_value)

add_event = stepfunctions._add_event


def add_event_counted(execution, event_type, details=None):
    if event_type.endswith("StateEntered"):
        count("states.Transition")
    return add_event(execution, event_type, details)


stepfunctions._add_event = add_event_counted

call_function = stepfunctions._call_lambda
wait_for_token = stepfunctions._invoke_with_callback
waiting_token = contextvars.ContextVar("waiting_token", default=None)  # with which the task waits that calls a function


def call_function_as_aws(*args):
    """Names a task's failure for want of concurrency as AWS does; the engine calls it unknown. See docs/aws.md.

    A task that waits with a token fails with its function, unless it was woken before; the engine lets it wait."""
    try:
        return call_function(*args)
    except stepfunctions._ExecutionError as error:
        if error.error == "Lambda.Unknown" and '"__type": "TooManyRequestsException"' in error.cause:
            error = stepfunctions._ExecutionError("Lambda.TooManyRequestsException", error.cause)
        waiting = stepfunctions._task_tokens.get(waiting_token.get())
        if waiting and not waiting["event"].is_set():
            waiting["error"] = {"Error": error.error, "Cause": error.cause}
            waiting["event"].set()
        raise error from None


def wait_for_token_as_aws(resource, arguments, token, state):
    reset = waiting_token.set(token)
    try:
        return wait_for_token(resource, arguments, token, state)
    finally:
        waiting_token.reset(reset)


stepfunctions._call_lambda = call_function_as_aws
stepfunctions._invoke_with_callback = wait_for_token_as_aws

TARGETS = {"DynamoDB": "dynamodb", "AmazonSQS": "sqs", "AWSStepFunctions": "states", "AmazonSSM": "ssm"}


def s3_operation(method, path, query):
    """Names an S3 call by its method, whether it names an object, and its query."""
    is_object = "/" in path.strip("/")
    args = parse_qs(query, keep_blank_values=True)
    if not is_object:
        return {"GET": "ListObjects", "PUT": "CreateBucket", "HEAD": "HeadBucket"}.get(method, method)
    if "uploads" in args:
        return "CreateMultipartUpload"
    if "uploadId" in args:
        parts = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return parts.get(method, "ListParts")
    return {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(method, method)


def name_of(scope):
    """Names a call by service and operation, or gives None for one that is no call of AWS."""
    headers = dict(scope["headers"])
    method, path = scope["method"], scope["path"]
    target = headers.get(b"x-amz-target", b"").decode("latin-1")
    if target:
        service, _, operation = target.partition(".")
        return TARGETS.get(service.split("_")[0], service) + "." + operation
    if path.startswith("/_aws/execute-api/"):
        return "apigateway.Request"
    if path.startswith("/_") or path == "/health":
        return None
    credential = headers.get(b"authorization", b"").decode("latin-1").partition("Credential=")[2].split("/")
    service = credential[3] if len(credential) > 3 else "s3"
    if service == "s3":
        return "s3." + s3_operation(method, path, scope["query_string"].decode("latin-1"))
    return service + "." + method


serve = app.app


async def serve_counted(scope, receive, send):
    if scope["type"] == "http":
        if scope["path"].startswith("/_aws/execute-api/"):
            # A REST API's events carry the path, and what of it is a parameter, as the client escaped it; the engine
            # unescapes it. Query strings are unescaped by both. See docs/aws.md.
            scope = dict(scope, path=scope["raw_path"].decode("latin-1"))
        if scope["path"] in ("/_musketry/calls", "/_musketry/permissions"):
            with calls_lock:
                body = json.dumps(dict(calls)).encode()
            if scope["path"] == "/_musketry/permissions":
                body = permissions.told()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        name = name_of(scope)
        if name:
            count(name)
    await serve(scope, receive, send)


app.app = serve_counted

if __name__ == "__main__":
    app.main()
