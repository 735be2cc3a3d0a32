"""Starts MiniStack with fixes made in memory; the installed package stays as it came.

Each fix says what it mends. Beside the server, `GET /_musketry/calls` tells what was called since the start, by
service and operation, as JSON.
"""

import json
import socketserver
import sys
import threading
from collections import Counter
from urllib.parse import parse_qs

sys.dont_write_bytecode = True

# The Lambda runtime API sends headers and body apart: Nagle's algorithm with delayed acknowledgements costs 40 ms an
# invocation.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

import ministack.app as app  # noqa: E402
import ministack.core.lambda_runtime as lambda_runtime  # noqa: E402
import ministack.services.lambda_svc as lambda_svc  # noqa: E402
import ministack.services.sqs as sqs  # noqa: E402
import ministack.services.stepfunctions as stepfunctions  # noqa: E402

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

add_event = stepfunctions._add_event


def add_event_counted(execution, event_type, details=None):
    if event_type.endswith("StateEntered"):
        count("states.Transition")
    return add_event(execution, event_type, details)


stepfunctions._add_event = add_event_counted

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
        if scope["path"] == "/_musketry/calls":
            with calls_lock:
                body = json.dumps(dict(calls)).encode()
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
