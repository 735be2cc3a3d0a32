"""Asks a model in a batch with inspect_ai. Arguments: the case and the model."""

import asyncio
import sys

from inspect_ai.model import BatchConfig, GenerateConfig, get_model

case, name = sys.argv[1:]
config = GenerateConfig(batch=BatchConfig(size=3, send_delay=1, tick=0.5), max_retries=0)


async def main():
    async with get_model(f"openai/{name}", config=config, responses_api=False) as model:
        asked = [model.generate(f"Say something about {i}.") for i in range(3)]
        got = await asyncio.gather(*asked, return_exceptions=True)
    if case == "failing":
        assert all("400" in str(g) or "told to" in str(g) for g in got), f"told only {got[0]!r}"
    else:
        assert all(g.completion for g in got), f"got {got[0]!r}"



asyncio.run(asyncio.wait_for(main(), 300))
