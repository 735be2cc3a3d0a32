"""Downloads a file with the unchanged OpenAI SDK, whole and as a stream, and compares its hash.

Arguments: the file's id and its SHA-256.
"""

import hashlib
import sys

from openai import OpenAI

file_id, want = sys.argv[1:]
client = OpenAI()

whole = client.files.content(file_id).read()
assert hashlib.sha256(whole).hexdigest() == want, f"{len(whole)} bytes of another file"
assert len(whole) == client.files.retrieve(file_id).bytes, len(whole)

digest = hashlib.sha256()
with client.files.with_streaming_response.content(file_id) as response:
    for piece in response.iter_bytes():
        digest.update(piece)
assert digest.hexdigest() == want, "the streamed file is another"
