"""Downloads a file with the unchanged OpenAI SDK, whole and as a stream, and compares its hash.

Arguments: the file's id and its SHA-256.
"""

import base64
import hashlib
import sys

from openai import OpenAI

file_id, want = sys.argv[1:]
client = OpenAI()

whole = client.files.content(file_id).read()
assert hashlib.sha256(whole).hexdigest() == want, f"{len(whole)} bytes of another file"
assert len(whole) == client.files.retrieve(file_id).bytes, len(whole)

digest, length = hashlib.sha256(), 0
with client.files.with_streaming_response.content(file_id) as response:
    for piece in response.iter_bytes():
        digest.update(piece)
        length += len(piece)
    told = response.headers
assert digest.hexdigest() == want, "the streamed file is another"
assert told["x-musketry-content-length"] == str(length), (told, length)
assert told["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:", told
