"""API Gateway, as far as LocalStack 4.14.0 lacks of it:

- Response streaming: an integration whose URI ends with STREAM_URI is answered while its function writes, with a head in
  JSON, eight zero bytes and the body.
  https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
  As on AWS, and for every answer, LocalStack itself gives a function's Content-Length the name
  `x-amzn-Remapped-Content-Length`; a streamed body comes in chunks.
- Forms as they were sent: it parses a multipart body and writes another, with an error of its own for one without a
  boundary, without a part or without a file's name, and with a boundary that is cut at its first "=". AWS hands on what
  came.
"""

import functools
import threading
from concurrent.futures import Future

import localstack.runtime.server.twisted as server
from localstack.aws.app import LocalstackAwsGateway
from localstack.services.apigateway.legacy.provider import ApigatewayProvider
from localstack.services.apigateway.next_gen.execute_api.gateway_response import IntegrationFailureError
from localstack.services.apigateway.next_gen.execute_api.handlers import parse
from localstack.services.apigateway.next_gen.execute_api.integrations.aws import RestApiAwsProxyIntegration
from rolo.serving.twisted import TwistedGateway
from werkzeug.datastructures import Headers

from fixes.streams import BROKEN, Stream

STREAM_URI = "/response-streaming-invocations"
INVOKE_URI = "/invocations"
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def install():
    install_streaming()
    install_forms()


def install_forms():
    init, restore = LocalstackAwsGateway.__init__, parse.restore_payload

    def keep_body(chain, context, response):
        if context.request.mimetype in FORMS:
            context.request.get_data(cache=True)  # before anyone parses it

    def init_with_body_kept(gateway, *args, **kwargs):
        init(gateway, *args, **kwargs)
        gateway.request_handlers.insert(0, keep_body)

    server.TwistedGateway = UnparsedForms
    LocalstackAwsGateway.__init__ = init_with_body_kept
    parse.restore_payload = lambda request: request.get_data() if request.mimetype in FORMS else restore(request)


class UnparsedForms(TwistedGateway):
    """The server, which parses forms too before anyone else does, and refuses some."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._parsePOSTFormSubmission = False


def install_streaming():
    invoke = RestApiAwsProxyIntegration.invoke

    def invoke_or_stream(self, context):
        request = context.integration_request
        if not request["uri"].endswith(STREAM_URI):
            return invoke(self, context)
        request["uri"] = request["uri"].removesuffix(STREAM_URI) + INVOKE_URI
        return streamed(context.context_variables["requestId"], functools.partial(invoke, self, context))

    RestApiAwsProxyIntegration.invoke = invoke_or_stream

    put_integration = ApigatewayProvider.put_integration

    @functools.wraps(put_integration)
    def put_integration_of_any_date(self, context, request, **kwargs):
        # InvokeWithResponseStream is of another version of Lambda's API, whose date is refused here.
        if (request.get("uri") or "").endswith(STREAM_URI):
            request["uri"] = request["uri"].replace(":lambda:path/2021-11-15/", ":lambda:path/2015-03-31/")
        return put_integration(self, context, request, **kwargs)

    ApigatewayProvider.put_integration = put_integration_of_any_date


def streamed(request_id, invoke):
    """Invokes a function and gives its answer's head, with a body that comes as the function writes it."""
    stream, invocation = Stream(request_id), Future()

    def run():
        try:
            invocation.set_result(invoke())
        except Exception as error:
            invocation.set_exception(error)
        finally:
            stream.close()
            stream.put(BROKEN)  # of no effect behind an answer that has its end

    threading.Thread(target=run, daemon=True).start()
    told = stream.head()
    if told is None:
        stream.abandoned.set()
        answer = invocation.result()  # raises what it failed with
        if answer["body"]:
            return answer  # the function did not stream, or failed before it did
        raise IntegrationFailureError("Internal server error", status_code=502)
    head, begin = told
    headers = Headers(head.get("headers") or {})
    for name, values in (head.get("multiValueHeaders") or {}).items():
        headers.setlist(name, values)
    return {"headers": headers, "body": stream.body(begin), "status_code": int(head.get("statusCode") or 200)}
