"""Runs a batch with BatchWizard. Arguments: the case and the model."""

import asyncio
import json
import pathlib
import sys

from batchwizard import BatchOrchestrator, JobStore, get_provider

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


async def main():
    provider = get_provider("openai")
    wizard = BatchOrchestrator(provider, JobStore(pathlib.Path("jobs.db")), check_interval=0.5)
    [job] = await wizard.submit_paths([pathlib.Path("input.jsonl")], "/v1/chat/completions")
    if case == "list":
        assert job.batch_id in [j.batch_id for j in await provider.list_jobs(limit=100)]
    if case == "cancel":
        while (await provider.status(job.batch_id)).provider_status != "in_progress":
            await asyncio.sleep(0.5)
        await wizard.request_cancel(job.batch_id)
    [job] = await wizard.watch([job], pathlib.Path("results"))
    await provider.close()
    if case == "cancel":
        assert job.provider_status == "cancelled" and job.output_path is None, job
        return
    assert job.provider_status == "completed", job
    path, other = (job.error_path, job.output_path) if case == "failing" else (job.output_path, job.error_path)
    got = [json.loads(x) for x in pathlib.Path(path).read_text().splitlines()]
    assert other is None and [r["custom_id"] for r in got] == ["id-0", "id-1", "id-2"], job
    for r in got:
        body = r["response"]["body"]
        assert body["error"]["message"] if case == "failing" else body["choices"][0]["message"]["content"], r


asyncio.run(asyncio.wait_for(main(), 300))
