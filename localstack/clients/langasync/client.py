"""Runs a batch with langasync. Arguments: the case and the model."""

import asyncio
import sys

from langasync import BatchStatus, batch_chain
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

case, model = sys.argv[1:]


async def main():
    chain = ChatPromptTemplate.from_messages([("user", "Say something about {topic}.")]) | ChatOpenAI(model=model)
    job = await batch_chain(chain).submit([{"topic": str(i)} for i in range(3)])
    adapter = job.batch_api_adapter
    if case == "list":
        assert job.job_id in [j.id for j in await adapter.list_batches(limit=100)]
    if case == "cancel":
        while (await job.get_results()).status_info.status != BatchStatus.IN_PROGRESS:
            await asyncio.sleep(0.5)
        assert await job.cancel()
        assert (await job.get_results()).status_info.status == BatchStatus.CANCELLED
        return
    while (got := await job.get_results()).results is None:
        assert got.status_info.status not in (BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED), got
        await asyncio.sleep(0.5)
    assert len(got.results) == 3, got
    if case == "failing":
        assert all("400" in str(r) for r in got.results), got
    else:
        assert all(r.content for r in got.results), got


asyncio.run(asyncio.wait_for(main(), 300))
