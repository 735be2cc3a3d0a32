"""Runs a batch with LiteLLM's SDK. Arguments: the case and the model."""

import json
import sys
import time

import litellm

case, model = sys.argv[1:]
rows = [
    {
        "custom_id": f"id-{i}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": model, "messages": [{"role": "user", "content": f"Say something about {i}."}]},
    }
    for i in range(3)
]
data = "".join(json.dumps(row) + "\n" for row in rows).encode()
file = litellm.create_file(file=("requests.jsonl", data), purpose="batch", custom_llm_provider="openai")
batch = litellm.create_batch(
    completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, custom_llm_provider="openai"
)
if case == "list":
    assert batch.id in [b.id for b in litellm.list_batches(custom_llm_provider="openai", limit=100).data]


def reach(status):
    until = time.monotonic() + 300
    while (got := litellm.retrieve_batch(batch.id, custom_llm_provider="openai")).status != status:
        assert time.monotonic() < until and got.status not in ("completed", "failed", "expired", "cancelled"), got
        time.sleep(0.5)
    return got


if case == "cancel":
    reach("in_progress")
    assert litellm.cancel_batch(batch.id, custom_llm_provider="openai").status in ("cancelling", "cancelled")
    reach("cancelled")
    sys.exit()
batch = reach("completed")


def read(id):
    content = litellm.file_content(id, custom_llm_provider="openai").content
    return [json.loads(x) for x in content.splitlines()]


if case == "failing":
    assert batch.output_file_id is None, batch
    assert all(r["response"]["body"]["error"]["message"] for r in read(batch.error_file_id))
else:
    got = read(batch.output_file_id)
    assert [r["custom_id"] for r in got] == ["id-0", "id-1", "id-2"], got
    assert all(r["response"]["body"]["choices"][0]["message"]["content"] for r in got), got
