"""Runs a batch with the openai package as it is: send a file, wait, print the answers.

    python batch.py requests.jsonl [24h]

OPENAI_BASE_URL and OPENAI_API_KEY say where to and as whom.
"""

import pathlib
import sys
import time

from openai import OpenAI

ENDED = ("completed", "failed", "expired", "cancelled")
PART = 4 * 1024 * 1024  # what one call to a serverless API can carry

client = OpenAI()
path = pathlib.Path(sys.argv[1])
if path.stat().st_size <= PART:
    file = client.files.create(file=path, purpose="batch")
else:
    file = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=PART
    ).file
batch = client.batches.create(
    input_file_id=file.id,
    endpoint="/v1/chat/completions",
    completion_window=sys.argv[2] if len(sys.argv) > 2 else "24h",
)
while batch.status not in ENDED:
    time.sleep(2)
    batch = client.batches.retrieve(batch.id)
    print(batch.id, batch.status, batch.request_counts, file=sys.stderr)
for error in (batch.errors and batch.errors.data) or []:
    print(f"line {error.line}: {error.message}", file=sys.stderr)
for name in filter(None, (batch.output_file_id, batch.error_file_id)):
    print(client.files.content(name).text, end="")
sys.exit(batch.status != "completed")
