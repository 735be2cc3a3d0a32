"""Runs a batch with openai-batch. Arguments: the case and the model."""

import json
import os
import pathlib
import sys

from openai_batch import Batch
from openai_batch.providers import get_provider_by_base_url

case, model = sys.argv[1:]
provider = get_provider_by_base_url(os.environ["OPENAI_BASE_URL"])
provider.api_key = os.environ["OPENAI_API_KEY"]
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
batch = Batch(submission_input_file="input.jsonl", output_file="output.jsonl", error_file="errors.jsonl", provider=provider)

done, output, errors = batch.submit_wait_download(interval=0.5)
rows = [json.loads(x) for x in pathlib.Path(errors if case == "failing" else output).read_text().splitlines()]
assert done.status == "completed" and [r["custom_id"] for r in rows] == ["id-0", "id-1", "id-2"], (done, rows)
if case == "failing":
    assert output is None and all(r["response"]["body"]["error"]["message"] for r in rows), rows
else:
    assert errors is None and all(r["response"]["body"]["choices"][0]["message"]["content"] for r in rows), rows
