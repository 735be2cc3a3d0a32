"""Has MiniStack hold each call to its caller's permissions, as AWS does, and tell what was called with them.

The engine evaluates policies when AUTH=true, and gives each function its role's session. What it does otherwise than AWS is
mended here; docs/aws.md has the list. `GET /_musketry/permissions` tells which actions each role asked for, on what, and
whether it may.
"""

import contextvars
import functools
import json
import re
import threading
from collections import Counter

import ministack.app as app
import ministack.core.iam_actions as iam_actions
import ministack.core.iam_evaluator as iam_evaluator
import ministack.services.dynamodb as dynamodb
import ministack.services.s3 as s3
import ministack.services.stepfunctions as stepfunctions
import ministack.services.sts as sts
from ministack.core.router import extract_access_key_id

# Queues and the bucket refuse what does not come by TLS, which is all that a local engine hears.
iam_evaluator._request_origin = contextvars.ContextVar("origin", default=("127.0.0.1", True))
app.pin_request_origin = lambda source_ip, secure_transport: iam_evaluator._request_origin.set((source_ip, True))

# A role's policies are parsed anew for each call; their texts change with a deployment only.
parse_policy = iam_evaluator.parse_policy_document
parse_policy_text = functools.lru_cache(maxsize=200)(parse_policy)
iam_evaluator.parse_policy_document = lambda doc: parse_policy_text(doc) if isinstance(doc, str) else parse_policy(doc)

# DynamoDB has no permission for BatchExecuteStatement: each statement asks for its own.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
STATEMENTS = ("dynamodb:BatchExecuteStatement", "dynamodb:ExecuteStatement")
KEY = "pk"  # the partition key of all tables here
EQUALS = re.compile(r"(#?\w+)\s*=\s*(:\w+)")
parsed_early = {}  # by statement and parameters, for who executes them


def parse_early(statement, parameters):
    """Parses a statement for its permission; who executes it soon takes it from parsed_early."""
    parsed = dynamodb._parse_partiql(statement, parameters)
    if len(parsed_early) > 1000:
        parsed_early.clear()
    parsed_early[statement, json.dumps(parameters)] = parsed
    return parsed


def statements_of(data):
    """Gives the parsed statements of a request, without those that are none: the engine refuses them later."""
    found = []
    for each in data.get("Statements") or ([data] if "Statement" in data else []):
        try:
            found.append(parse_early(each["Statement"], each.get("Parameters")))
        except Exception:  # noqa: BLE001
            continue
    return found


last_request = (None, None, None)


def request_of(body):
    """Gives a request to DynamoDB and its statements, parsed once: it is asked for twice in a row."""
    global last_request
    known, data, statements = last_request
    if known is not body:
        data = json.loads(body or b"{}")
        statements = statements_of(data)
        last_request = (body, data, statements)
    return data, statements


transaction_checks = iam_actions.dynamodb_transaction_checks


def statement_checks(iam_action, body, region, account_id):
    """Gives the action and the table of each statement, once for those that are alike."""
    if iam_action not in STATEMENTS:
        return transaction_checks(iam_action, body, region, account_id)
    checks = {}
    for parsed in request_of(body)[1]:
        table = iam_actions._dynamodb_table_arn(parsed["table"], region, account_id)
        checks["dynamodb:PartiQL" + parsed["op"].capitalize(), table] = None
    return list(checks)


iam_actions.dynamodb_transaction_checks = statement_checks


def leading_keys(data, statements):
    """Gives the partition keys that a request names, or None where it names none."""
    found = []
    for item in (data.get("Key"), data.get("Item")):
        if item and KEY in item:
            found.append(item[KEY].get("S"))
    names, values = data.get("ExpressionAttributeNames") or {}, data.get("ExpressionAttributeValues") or {}
    for name, value in EQUALS.findall(data.get("KeyConditionExpression") or ""):
        if names.get(name, name) == KEY:
            found.append(values[value].get("S"))
    for parsed in statements:
        if parsed["op"] == "INSERT":
            found.append(parsed["item"].get(KEY, {}).get("S"))
        found += [value.get("S") for path, op, value in parsed["conditions"] if path == KEY and op == "="]
    return [key for key in found if key is not None] or None


service_context = iam_actions.dynamodb_service_context


def context_with_keys(body):
    context = service_context(body)
    keys = leading_keys(*request_of(body))
    if keys:
        context["dynamodb:LeadingKeys"] = keys
    return context


iam_actions.dynamodb_service_context = context_with_keys

iam_action = iam_actions.extract_iam_action


def action_as_aws(service, *args):
    """SQS has no permissions of its own for a call with many entries: one for each of them.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html"""
    action = iam_action(service, *args)
    return action.removesuffix("Batch") if service == "sqs" and action else action


iam_actions.extract_iam_action = action_as_aws

resource_arn = iam_actions.extract_resource_arn


def resource_as_aws(service, method, path, headers, body, *args):
    """A task token is its state machine's, which the engine's tokens do not name: there is one."""
    arn = resource_arn(service, method, path, headers, body, *args)
    if service == "states" and arn == "*" and iam_actions._safe_json_field(body, "taskToken"):
        return next(iter(stepfunctions._state_machines), arn)
    return arn


iam_actions.extract_resource_arn = resource_as_aws

asked = Counter()
asked_lock = threading.Lock()
enforce = iam_evaluator.enforce


def shortened(text, end):
    """What stands before end, and a star for the rest: a key's own part is none of a permission's."""
    head, found, _ = text.partition(end)
    return head + end + "*" if found else text


def enforce_recorded(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
    denied = enforce(access_key_id, iam_action, service, region, resource_arn=resource_arn, service_context=service_context)
    session = sts._sessions.get(access_key_id)
    if session:
        on, keys = resource_arn, (service_context or {}).get("dynamodb:LeadingKeys") or [""]
        if service == "s3":
            bucket, _, key = resource_arn.partition("/")
            on = bucket + ("/" + shortened(key, "/") if key else "")
        verdict = "denied" if denied else "allowed"
        with asked_lock:
            for key in {shortened(key, "#") for key in keys}:
                asked[session["Arn"].split("/")[1], iam_action, on, key, verdict] += 1
    return denied


iam_evaluator.enforce = enforce_recorded

handle_s3 = s3.handle_request


async def handle_s3_as_aws(method, path, headers, body, query_params, *args, **kwargs):
    """Tells only those that an object is absent who may list its bucket; others are refused, as AWS does.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""
    answer = await handle_s3(method, path, headers, body, query_params, *args, **kwargs)
    bucket, _, key = path.strip("/").partition("/")
    if answer[0] != 404 or method not in ("GET", "HEAD") or not key:
        return answer
    denied = iam_evaluator.enforce(extract_access_key_id(headers, query_params), "s3:ListBucket", "s3", "",
                                   resource_arn="arn:aws:s3:::" + bucket)
    return s3._error("AccessDenied", "Access Denied", 403, path) if denied else answer


s3.handle_request = handle_s3_as_aws


def told():
    """What was asked for, as JSON: role, action, resource, partition key, verdict, and how often."""
    with asked_lock:
        return json.dumps([[*what, times] for what, times in sorted(asked.items())]).encode()
