"""Runs a batch with any-llm. Arguments: the case and the model."""

import json
import os
import pathlib
import sys
import time

import any_llm

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
pathlib.Path("input.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
way = {"provider": "openai", "api_base": os.environ["OPENAI_BASE_URL"]}
batch = any_llm.create_batch(input_file_path="input.jsonl", endpoint="/v1/chat/completions", **way)


def reach(status):
    until = time.monotonic() + 300
    while (got := any_llm.retrieve_batch(batch_id=batch.id, **way)).status != status:
        assert time.monotonic() < until and got.status not in ("completed", "failed", "expired", "cancelled"), got
        time.sleep(0.5)


if case == "list":
    assert batch.id in [b.id for b in any_llm.list_batches(limit=100, **way)]
if case == "cancel":
    reach("in_progress")
    any_llm.cancel_batch(batch_id=batch.id, **way)
    reach("cancelled")
    sys.exit()
reach("completed")
got = any_llm.retrieve_batch_results(batch_id=batch.id, **way).results
assert [r.custom_id for r in got] == ["id-0", "id-1", "id-2"], f"results are {got}"
if case == "failing":
    assert all(r.error.message for r in got), got
else:
    assert all(r.result.choices[0].message.content for r in got), got
