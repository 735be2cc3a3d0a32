"""Runs a batch with AzureOpenAI of OpenAI's SDK. Arguments: the case and the model."""

import json
import os
import sys
import time

import openai

case, model = sys.argv[1:]
endpoint = os.environ.pop("OPENAI_BASE_URL").removesuffix("/v1")  # It excludes an endpoint.
client = openai.AzureOpenAI(azure_endpoint=endpoint, api_key=os.environ["OPENAI_API_KEY"], api_version="2024-10-21")
rows = [
    {
        "custom_id": f"id-{i}",
        "method": "POST",
        "url": "/chat/completions",
        "body": {"model": model, "messages": [{"role": "user", "content": f"Say something about {i}."}]},
    }
    for i in range(3)
]
data = "".join(json.dumps(row) + "\n" for row in rows).encode()
file = client.files.create(file=("requests.jsonl", data), purpose="batch")
batch = client.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")


def reach(status):
    until = time.monotonic() + 300
    while (got := client.batches.retrieve(batch.id)).status != status:
        assert time.monotonic() < until and got.status not in ("completed", "failed", "expired", "cancelled"), got
        time.sleep(0.5)
    return got


if case == "list":
    assert batch.id in [b.id for b in client.batches.list(limit=100).data]
if case == "cancel":
    reach("in_progress")
    client.batches.cancel(batch.id)
    reach("cancelled")
    sys.exit()
done = reach("completed")
file, other = (done.error_file_id, done.output_file_id) if case == "failing" else (done.output_file_id, done.error_file_id)
got = [json.loads(x) for x in client.files.content(file).text.splitlines()]
assert other is None and [r["custom_id"] for r in got] == ["id-0", "id-1", "id-2"], done
for r in got:
    body = r["response"]["body"]
    assert body["error"]["message"] if case == "failing" else body["choices"][0]["message"]["content"], r
