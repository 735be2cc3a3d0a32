"""API Gateway's response streaming, which LocalStack 4.14.0 lacks: an integration whose URI ends with STREAM_URI is
answered while its function writes, with a head in JSON, eight zero bytes and the body.
https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html

As on AWS, and for every answer, LocalStack itself gives a function's Content-Length the name
`x-amzn-Remapped-Content-Length`; a streamed body comes in chunks.
"""

import functools
import threading
from concurrent.futures import Future

from localstack.services.apigateway.legacy.provider import ApigatewayProvider
from localstack.services.apigateway.next_gen.execute_api.gateway_response import IntegrationFailureError
from localstack.services.apigateway.next_gen.execute_api.integrations.aws import RestApiAwsProxyIntegration
from werkzeug.datastructures import Headers

from fixes.streams import BROKEN, Stream

STREAM_URI = "/response-streaming-invocations"
INVOKE_URI = "/invocations"


def install():
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
