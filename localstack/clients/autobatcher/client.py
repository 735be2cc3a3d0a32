"""Runs a batch with autobatcher. Arguments: the case and the model."""

import asyncio
import os
import sys

from autobatcher import BatchOpenAI

case, model = sys.argv[1:]
batches = []


async def main():
    client = BatchOpenAI(
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        completion_window="24h",
        batch_size=3,
        poll_interval_seconds=0.5,
        batch_event_handler=lambda e: batches.append(e["batch_id"]) if e.get("batch_id") else None,
        cancel_active_batches_on_close=True,
    )
    asked = [
        asyncio.create_task(
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": f"Say something about {i}."}])
        )
        for i in range(3)
    ]
    if case == "cancel":
        await reach(client, "in_progress")
        await client.close()  # Cancels what is under way.
        assert all("closed before" in str(e) for e in await asyncio.gather(*asked, return_exceptions=True))
        client = BatchOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
        await reach(client, "cancelled")
        return
    got = await asyncio.gather(*asked, return_exceptions=True)
    if case == "list":
        assert batches[0] in [b.id async for b in await client.batches.list(limit=100)]
    if case == "failing":
        assert all("400" in str(e) for e in got), f"told only {got[0]}"
    else:
        assert all(g.choices[0].message.content for g in got), got
    await client.close()


async def reach(client, status):
    for _ in range(600):
        await asyncio.sleep(0.5)
        if batches and (await client.batches.retrieve(batches[0])).status == status:
            return
    raise AssertionError(f"{batches} never came to {status}")


asyncio.run(main())
