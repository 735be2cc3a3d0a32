"""Generates in a batch with distilabel. Arguments: the case and the model."""

import os
import sys
import time

from distilabel.exceptions import DistilabelOfflineBatchGenerationNotFinishedException
from distilabel.models.llms import OpenAILLM

case, model = sys.argv[1:]
llm = OpenAILLM(model=model, base_url=os.environ["OPENAI_BASE_URL"], use_offline_batch_generation=True)
llm.load()
asked = [[{"role": "user", "content": f"Say something about {i}."}] for i in range(3)]
until = time.monotonic() + 300
while True:
    try:
        got = llm.generate_outputs(inputs=asked)
        break
    except DistilabelOfflineBatchGenerationNotFinishedException:
        assert time.monotonic() < until, llm.jobs_ids
        time.sleep(0.5)
assert len(got) == 3, got
if case == "failing":
    assert not any(got), got
else:
    assert all(g["generations"][0] for g in got), got
