"""Runs a batch through LiteLLM's proxy, with the openai SDK. Arguments: the case and the model."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import openai

case, model = sys.argv[1:]
pathlib.Path("config.yaml").write_text(
    """
files_settings:
  - custom_llm_provider: openai
    api_base: os.environ/OPENAI_BASE_URL
    api_key: os.environ/OPENAI_API_KEY
general_settings:
  master_key: sk-proxy
"""
)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
litellm = str(pathlib.Path(sys.executable).parent / "litellm")
proxy = subprocess.Popen([litellm, "--config", "config.yaml", "--host", "127.0.0.1", "--port", port])


def ready():
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5).status == 200
    except OSError:
        return False


def run():
    until = time.monotonic() + 300
    while not ready():
        assert time.monotonic() < until and proxy.poll() is None, "the proxy is not ready"
        time.sleep(0.5)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-proxy")
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
    provider = {"custom_llm_provider": "openai"}
    file = client.files.create(file=("requests.jsonl", data), purpose="batch", extra_body=provider)
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", extra_body=provider
    )

    def reach(status):
        while (got := client.batches.retrieve(batch.id, extra_query={"provider": "openai"})).status != status:
            assert time.monotonic() < until and got.status not in ("completed", "failed", "expired", "cancelled"), got
            time.sleep(0.5)
        return got

    if case == "list":
        assert batch.id in [b.id for b in client.batches.list(limit=100, extra_query={"provider": "openai"}).data]
    if case == "cancel":
        reach("in_progress")
        client.batches.cancel(batch.id, extra_body=provider)
        reach("cancelled")
        return
    done = reach("completed")
    failing = case == "failing"
    text = client.files.content(done.error_file_id if failing else done.output_file_id, extra_query=provider).text
    got = [json.loads(x) for x in text.splitlines()]
    assert [r["custom_id"] for r in got] == ["id-0", "id-1", "id-2"], got
    for r in got:
        body = r["response"]["body"]
        assert body["error"]["message"] if failing else body["choices"][0]["message"]["content"], r


try:
    run()
finally:
    proxy.terminate()
    proxy.wait(30)
