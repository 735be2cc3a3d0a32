"""Drives the deployed API with the unchanged openai SDK, strictly typed, through all that a user does with a batch."""

import io
import json
import time

import openai

client = openai.OpenAI(_strict_response_validation=True)
MODELS = {"quick": "standin", "flaky": "standin:status=503x1", "refused": "standin:status=400"}


def lines(n):
    for i in range(n):
        for name, model in MODELS.items():
            yield {
                "custom_id": f"{name}-{i}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": [{"role": "user", "content": f"Say something about {name} {i}."}]},
            }


def wait(batch_id, seconds=180):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        batch = client.batches.retrieve(batch_id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return batch
        time.sleep(0.5)
    raise AssertionError(f"{batch_id} is still {batch.status} after {seconds} s: {batch.request_counts}")


def expect(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error as e:
        assert e.request_id, "an error without x-request-id"
        assert e.body and e.body["message"], f"an error outside the envelope: {e.body}"
        return e
    raise AssertionError(f"{call} did not raise {error}")


requests = list(lines(4))
data = "".join(json.dumps(r) + "\n" for r in requests).encode()
file = client.files.create(file=("requests.jsonl", io.BytesIO(data), "application/jsonl"), purpose="batch")
assert file.bytes == len(data) and file.purpose == "batch" and file.filename == "requests.jsonl", file
assert client.files.wait_for_processing(file.id, poll_interval=0.2, max_wait_seconds=10).status == "processed"
assert client.files.retrieve(file.id).id == file.id
assert file.id in [f.id for f in client.files.list(purpose="batch", limit=50)]
assert client.files.content(file.id).read() == data

batch = client.batches.create(
    input_file_id=file.id,
    endpoint="/v1/chat/completions",
    completion_window="24h",
    metadata={"purpose": "test"},
)
assert batch.status == "validating" and batch.metadata == {"purpose": "test"}, batch
assert batch.expires_at - batch.created_at == 24 * 3600, batch
assert batch.id in [b.id for b in client.batches.list(limit=100)]

batch = wait(batch.id)
assert batch.status == "completed", batch
counts = batch.request_counts
assert (counts.total, counts.completed, counts.failed) == (12, 8, 4), counts
output = [json.loads(x) for x in client.files.content(batch.output_file_id).text.splitlines()]
errors = [json.loads(x) for x in client.files.content(batch.error_file_id).text.splitlines()]
assert [o["custom_id"] for o in output] == [r["custom_id"] for r in requests if "refused" not in r["custom_id"]]
assert [e["custom_id"] for e in errors] == [r["custom_id"] for r in requests if "refused" in r["custom_id"]]
assert all(o["response"]["status_code"] == 200 and o["error"] is None for o in output)
assert all(o["response"]["body"]["choices"][0]["message"]["content"] for o in output)
assert all(e["response"]["status_code"] == 400 for e in errors)
assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"

second = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="1h")
seen = [b.id for b in client.batches.list(limit=1)][:2]
assert seen == [second.id, batch.id] or second.id in [b.id for b in client.batches.list(limit=100)], seen
assert client.batches.cancel(second.id).status in ("cancelling", "cancelled")
assert wait(second.id, 60).status == "cancelled"

expect(openai.ConflictError, client.batches.cancel, batch.id)
expect(openai.NotFoundError, client.batches.retrieve, "batch_00000000000000000000000000")
expect(openai.NotFoundError, client.files.retrieve, "file-00000000000000000000000000")
expect(openai.AuthenticationError, client.with_options(api_key="sk-wrong").batches.list)
bad = expect(
    openai.BadRequestError, client.batches.create, input_file_id=file.id, endpoint="/v1/chat/completions",
    completion_window="9s",
)
assert bad.param == "completion_window", bad.body

for name in (batch.output_file_id, batch.error_file_id, file.id):
    assert client.files.delete(name).deleted
    expect(openai.NotFoundError, client.files.retrieve, name)
print(f"openai {openai.__version__}: {len(output)} answers and {len(errors)} errors in the order of the input")
