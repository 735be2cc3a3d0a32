"""Lambda's event source of SQS, several invocations at a time.

LocalStack 4.14.0 has one batch of a queue in flight; AWS has as many as MaximumConcurrency allows
(https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html). Here a received batch is handed to a thread of
its own, and nothing is received while there is no room for it.
"""

import logging
import threading

from localstack.services.lambda_.event_source_mapping.esm_worker import EsmWorker
from localstack.services.lambda_.event_source_mapping.pollers.sqs_poller import SqsPoller

LOG = logging.getLogger(__name__)
CONCURRENCY = 10  # where the event source names none

init, poll_events, handle_messages = EsmWorker.__init__, SqsPoller.poll_events, SqsPoller.handle_messages


def install():
    EsmWorker.__init__, SqsPoller.poll_events, SqsPoller.handle_messages = init_worker, poll_with_room, hand_over


def init_worker(worker, esm_config, poller, *args, **kwargs):
    init(worker, esm_config, poller, *args, **kwargs)
    if isinstance(poller, SqsPoller):
        poller.room = threading.Semaphore((esm_config.get("ScalingConfig") or {}).get("MaximumConcurrency") or CONCURRENCY)
        poller.reserved = False


def poll_with_room(poller):
    if not hasattr(poller, "room"):  # a pipe's
        poll_events(poller)
        return
    poller.room.acquire()
    poller.reserved = True
    try:
        poll_events(poller)
    finally:
        if poller.reserved:  # nothing was received
            poller.reserved = False
            poller.room.release()


def hand_over(poller, messages):
    if not hasattr(poller, "room"):
        handle_messages(poller, messages)
        return
    if not poller.reserved:  # one answer can hold several batches
        poller.room.acquire()
    poller.reserved = False

    def run():
        try:
            handle_messages(poller, messages)
        except Exception as error:
            LOG.warning("a batch of %s failed: %s", poller.source_arn, error)
        finally:
            poller.room.release()

    threading.Thread(target=run, daemon=True).start()
