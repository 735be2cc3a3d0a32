"""Runs a batch with instructor, from memory, beside one of another client. Arguments: the case and the model."""

import sys
import time

import openai
from instructor.batch import BatchProcessor
from pydantic import BaseModel

case, model = sys.argv[1:]


class Answer(BaseModel):
    text: str


processor = BatchProcessor(f"openai/{model}", Answer)
lines = processor.create_batch_from_messages([[{"role": "user", "content": f"Say something about {i}."}] for i in range(3)])
batch = processor.submit_batch(lines)


def reach(status):
    until = time.monotonic() + 300
    while (got := processor.get_batch_status(batch)["status"]) != status:
        assert time.monotonic() < until and got not in ("completed", "failed", "expired", "cancelled"), got
        time.sleep(0.5)


if case == "list":
    input_file = openai.OpenAI().batches.retrieve(batch).input_file_id
    openai.OpenAI().batches.create(input_file_id=input_file, endpoint="/v1/chat/completions", completion_window="24h")
    assert batch in [b.id for b in processor.list_batches(limit=100)]
if case == "cancel":
    reach("in_progress")
    assert processor.cancel_batch(batch)["status"] in ("cancelling", "cancelled")
    reach("cancelled")
    sys.exit()
reach("completed")
got = processor.retrieve_results(batch)
assert [r.custom_id for r in got] == ["request-0", "request-1", "request-2"], got
if case == "failing":
    assert all("400" in r.error_message for r in got), got
else:
    assert all(r.success and r.result.text for r in got), got
