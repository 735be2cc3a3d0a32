"""Generates in a batch with curator. Arguments: the case and the model."""

import os
import sys

os.environ.update(CURATOR_DISABLE_CACHE="true", TELEMETRY_ENABLED="false", CURATOR_VIEWER="0", HF_HUB_OFFLINE="1")

from bespokelabs import curator

case, model = sys.argv[1:]
llm = curator.LLM(
    model_name=model,
    backend="openai",
    batch=True,
    backend_params={
        "base_url": os.environ["OPENAI_BASE_URL"],
        "batch_check_interval": 1,
        "max_retries": 1,
        "require_all_responses": case != "failing",
    },
)
got = llm([f"Say something about {i}." for i in range(3)]).dataset
if case == "failing":
    assert len(got) == 0, got
else:
    assert len(got) == 3 and all(row["response"] for row in got), got
