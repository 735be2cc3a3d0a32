"""Uploads 50 MB with the unchanged OpenAI SDK, as one file, through a local proxy, and makes a batch of it.

OPENAI_BASE_URL is the proxy's address. Argument: what the requests are marked with.
"""

import hashlib
import io
import json
import sys

from openai import OpenAI

marker = sys.argv[1]
client = OpenAI(max_retries=0)

lines, size = [], 0
while size < 50_000_000:
    body = {"model": "standin", "user": marker, "messages": [{"role": "user", "content": "x" * 1_000_000}]}
    line = json.dumps({"custom_id": f"r{len(lines)}", "method": "POST", "url": "/v1/chat/completions", "body": body})
    lines.append(line)
    size += len(line) + 1
content = ("\n".join(lines) + "\n").encode()

file = client.files.create(file=("large.jsonl", io.BytesIO(content)), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})
assert file.bytes == len(content) and file.filename == "large.jsonl" and file.purpose == "batch", file
assert 3_500 < file.expires_at - file.created_at < 3_700, file

digest = hashlib.sha256()
with client.files.with_streaming_response.content(file.id) as response:
    for piece in response.iter_bytes():
        digest.update(piece)
assert digest.hexdigest() == hashlib.sha256(content).hexdigest(), "another file arrived"

batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="1h")
assert client.batches.retrieve(batch.id).input_file_id == file.id
print(batch.id)
