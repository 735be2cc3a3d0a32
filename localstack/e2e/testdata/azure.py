"""Runs a batch with the unchanged AzureOpenAI client. Argument: the endpoint."""

import io
import json
import sys
import time

import openai

client = openai.AzureOpenAI(azure_endpoint=sys.argv[1], api_key=sys.argv[2], api_version="2024-10-21")
named = openai.AzureOpenAI(azure_endpoint=sys.argv[1], azure_deployment="standin", api_key=sys.argv[2], api_version="2024-10-21")
rows = [
    {
        "custom_id": f"id-{i}",
        "method": "POST",
        "url": url,  # Azure's documents have both.
        "body": {"model": "standin", "messages": [{"role": "user", "content": f"Say something about {i}."}]},
    }
    for i, url in enumerate(["/chat/completions", "/v1/chat/completions", "/chat/completions"])
]
data = "".join(json.dumps(row) + "\n" for row in rows).encode()
file = client.files.create(file=("requests.jsonl", io.BytesIO(data)), purpose="batch")
assert client.files.content(file.id).read() == data
batch = client.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
assert batch.id in [b.id for b in named.batches.list(limit=100)], batch
until = time.monotonic() + 180
while batch.status not in ("completed", "failed", "expired", "cancelled"):
    assert time.monotonic() < until, batch
    time.sleep(0.5)
    batch = named.batches.retrieve(batch.id)
assert batch.status == "completed" and batch.request_counts.completed == 3, batch
output = [json.loads(x) for x in client.files.content(batch.output_file_id).text.splitlines()]
assert [o["custom_id"] for o in output] == ["id-0", "id-1", "id-2"], output
try:
    openai.AzureOpenAI(azure_endpoint=sys.argv[1], api_key="wrong", api_version="2024-10-21").batches.list()
except openai.AuthenticationError as e:
    assert e.code == "invalid_api_key", e
else:
    raise AssertionError("a wrong key was taken")
