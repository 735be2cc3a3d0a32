"""Uploads bytes as the SDK names them when nobody names them: the content decides that they are requests."""

import io
import json
import tempfile

import openai

client = openai.OpenAI(_strict_response_validation=True)
body = {"model": "standin", "messages": [{"role": "user", "content": "Who are you?"}]}
data = (json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n").encode()

with tempfile.TemporaryFile() as unnamed, tempfile.NamedTemporaryFile() as named:
    for file in unnamed, named:
        file.write(data)
        file.seek(0)
    ways = {
        "bytes": data,
        "BytesIO": io.BytesIO(data),
        "a temporary file without a name": unnamed,
        "a temporary file with a name": named.file,
        "a name and bytes": ("requests.txt", data),
    }
    for way, value in ways.items():
        file = client.files.create(file=value, purpose="batch")
        assert file.bytes == len(data), (way, file)
        assert client.files.content(file.id).read() == data, way
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="1h")
        print(way, "is called", file.filename, "and became", batch.id)

for name in "requests.csv", "requests.xlsx", "requests.zip":
    try:
        client.files.create(file=(name, data), purpose="batch")
    except openai.BadRequestError as e:
        assert e.code == "invalid_file_format" and "its name ends in ." in e.message, e
    else:
        raise AssertionError(f"{name} was taken")
