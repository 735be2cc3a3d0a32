"""Drives the deployed API with the unchanged openai SDK, strictly typed, through all that a user does with a batch."""

import hashlib
import io
import itertools
import json
import pathlib
import tempfile
import time
import uuid

import openai

client = openai.OpenAI(_strict_response_validation=True)
PART = 4 * 1024 * 1024  # Bytes: what one request to the API can carry.
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

# A request that is never answered keeps its batch from ending before it is cancelled.
hanging = {**requests[0], "body": {**requests[0]["body"], "model": "standin:hang"}}
hanging = json.dumps(hanging).encode() + b"\n"
open_file = client.files.create(file=("hanging.jsonl", hanging), purpose="batch")
second = client.batches.create(input_file_id=open_file.id, endpoint="/v1/chat/completions", completion_window="1h")
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


def chunked_upload():
    """A file of more than two parts comes back as it went, and its batch runs."""
    rows = [
        {
            "custom_id": f"long-{i}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "standin", "messages": [{"role": "user", "content": f"{i} " + "word " * 180_000}]},
        }
        for i in range(10)
    ]
    content = "".join(json.dumps(r) + "\n" for r in rows).encode()
    assert len(content) > 2 * PART, len(content)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "long.jsonl")
        path.write_bytes(content)
        upload = client.uploads.upload_file_chunked(
            file=path, mime_type="application/jsonl", purpose="batch", part_size=PART, md5=hashlib.md5(content).hexdigest()
        )
    assert upload.status == "completed" and upload.file.bytes == len(content), upload
    assert upload.file.filename == "long.jsonl", upload
    assert client.files.content(upload.file.id).read() == content
    made = client.batches.create(
        input_file_id=upload.file.id, endpoint="/v1/chat/completions", completion_window="30m"
    )
    expect(openai.ConflictError, client.files.delete, upload.file.id)
    made = wait(made.id)
    assert made.status == "completed" and made.request_counts.completed == len(rows), made
    assert client.files.delete(upload.file.id).deleted


def broken_uploads():
    """Uploads that are cancelled, broken or incomplete become no file."""
    args = {"filename": "short.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    upload = client.uploads.create(bytes=len(data), **args)
    assert upload.status == "pending" and upload.expires_at - upload.created_at == 3600, upload
    part = client.uploads.parts.create(upload.id, data=data)
    assert part.upload_id == upload.id, part
    expect(openai.BadRequestError, client.uploads.complete, upload.id, part_ids=[part.id], md5="0" * 32)
    expect(openai.BadRequestError, client.uploads.complete, upload.id, part_ids=["part_00000000000000000000000000"])
    assert client.uploads.cancel(upload.id).status == "cancelled"
    expect(openai.ConflictError, client.uploads.complete, upload.id, part_ids=[part.id])
    expect(openai.ConflictError, client.uploads.parts.create, upload.id, data=data)
    short = client.uploads.create(bytes=len(data) + 1, **args)
    part = client.uploads.parts.create(short.id, data=data)
    expect(openai.BadRequestError, client.uploads.complete, short.id, part_ids=[part.id])


def pages():
    """Pages of one repeat and miss nothing, in either order, whatever others make at the same time."""
    files = [
        client.files.create(file=(f"page-{i}.jsonl", hanging), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})
        for i in range(4)
    ]
    assert all(f.expires_at - f.created_at == 3600 for f in files), files
    made = [f.id for f in files]
    first, rest, older, newest = made[0], made[1:], made[-2::-1], made[-1]
    rising = listed(client.files.list(limit=1, order="asc", after=first), rest[-1])
    assert [i for i in rising if i in made] == rest, (rising, made)
    falling = listed(client.files.list(limit=1, order="desc", after=newest), older[-1])
    assert [i for i in falling if i in made] == older, (falling, made)
    assert listed(client.files.list(limit=2, after=newest), older[-1]) == falling, falling

    # In a file of purpose user_data no line is looked at.
    other = client.files.create(file=("notes.txt", b"no line"), purpose="user_data")
    assert {f.purpose for f in client.files.list(limit=1, purpose="user_data")} == {"user_data"}
    assert client.files.delete(other.id).deleted

    batches = [
        client.batches.create(
            input_file_id=f.id, endpoint="/v1/chat/completions", completion_window="10m", metadata={"page": f.filename}
        )
        for f in files
    ]
    made = [b.id for b in batches]
    falling = listed(client.batches.list(limit=1, after=made[-1]), made[0])
    assert [i for i in falling if i in made] == made[-2::-1], (falling, made)
    for b in batches:
        client.batches.cancel(b.id)
    for b in batches:
        b = wait(b.id, 60)
        assert b.status == "cancelled" and b.metadata["page"].startswith("page-"), b
    for f in files:
        assert client.files.delete(f.id).deleted
    bad = expect(openai.BadRequestError, client.batches.list, limit=101)
    assert bad.param == "limit", bad.body


def listed(page, last):
    """Reads pages until an id, which must come, and demands that none comes twice."""
    ids = []
    for item in itertools.islice(page, 2000):
        ids.append(item.id)
        if item.id == last:
            break
    assert ids and ids[-1] == last, (last, len(ids))
    assert len(set(ids)) == len(ids), "a page repeats an object"
    return ids


def repeats():
    """An order that is repeated, by a key or by the SDK itself, is one batch."""
    order = {"input_file_id": open_file.id, "endpoint": "/v1/chat/completions", "completion_window": "2h"}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    made = client.batches.create(**order, extra_headers=key)
    assert client.batches.create(**order, extra_headers=key).id == made.id
    assert client.batches.create(**order, extra_body={"idempotency_key": key["Idempotency-Key"]}).id == made.id
    changed = {**order, "metadata": {"changed": "yes"}}
    expect(openai.ConflictError, client.batches.create, **changed, extra_headers=key)
    first = made

    order["metadata"] = {"run": str(uuid.uuid4())}
    made = client.batches.create(**order)
    retried = {"x-stainless-retry-count": "1"}  # What the SDK sends after a timeout.
    assert client.batches.create(**order, extra_headers=retried).id == made.id
    again = client.batches.create(**order)
    assert again.id != made.id, "two equal orders, neither of them a repeat, became one"
    for b in (first, made, again):
        client.batches.cancel(b.id)
    for b in (first, made, again):
        assert wait(b.id, 60).status == "cancelled", b


def raw_answers():
    """What the SDK hides is there for those who look."""
    raw = client.batches.with_raw_response.retrieve(batch.id)
    assert raw.status_code == 200 and raw.headers["content-type"] == "application/json", raw.headers
    assert raw.headers["x-request-id"] == raw.request_id, raw.headers
    assert raw.parse().id == batch.id
    assert client.batches.retrieve(batch.id)._request_id, "an answer without x-request-id"
    with client.files.with_streaming_response.content(batch.output_file_id) as streamed:
        assert [json.loads(x)["custom_id"] for x in streamed.iter_lines()] == [o["custom_id"] for o in output]
    assert client.batches.retrieve(batch.id).metadata == {"purpose": "test"}
    bad = expect(
        openai.BadRequestError, client.batches.create, input_file_id=file.id, endpoint="/v1/chat/completions",
        completion_window="24h", metadata={str(i): "x" for i in range(17)},
    )
    assert bad.param == "metadata", bad.body


chunked_upload()
broken_uploads()
pages()
repeats()
raw_answers()

for name in (batch.output_file_id, batch.error_file_id, file.id, open_file.id):
    assert client.files.delete(name).deleted
    expect(openai.NotFoundError, client.files.retrieve, name)
print(f"openai {openai.__version__}: {len(output)} answers and {len(errors)} errors in the order of the input")
