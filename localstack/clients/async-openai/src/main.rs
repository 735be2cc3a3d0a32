//! Runs a batch with async-openai. Arguments: the case and the model.

use std::time::Duration;

use async_openai::{
    config::OpenAIConfig,
    traits::RequestOptionsBuilder,
    types::{
        batches::{Batch, BatchCompletionWindow, BatchEndpoint, BatchRequestArgs, BatchStatus, ListBatchesQuery},
        files::{CreateFileRequestArgs, FileInput, FilePurpose},
        InputSource,
    },
    Client,
};
use serde_json::{json, Value};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    tokio::time::timeout(Duration::from_secs(300), run(&args[1], &args[2])).await?
}

async fn run(case: &str, model: &str) -> Result<()> {
    // The client reads OPENAI_API_KEY and OPENAI_BASE_URL.
    let client = Client::with_config(OpenAIConfig::new());
    let ids = ["id-0", "id-1", "id-2"];
    let lines: String = ids.map(|id| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": format!("Say something about {id}.")}]});
        json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string() + "\n"
    }).concat();
    let source = InputSource::VecU8 { filename: "requests.jsonl".into(), vec: lines.into_bytes() };
    let order = CreateFileRequestArgs::default().file(FileInput { source }).purpose(FilePurpose::Batch).build()?;
    let file = client.files().create(order).await?;
    let order = BatchRequestArgs::default()
        .input_file_id(file.id)
        .endpoint(BatchEndpoint::V1ChatCompletions)
        .completion_window(BatchCompletionWindow::W24H)
        .build()?;
    let batch = client.batches().create(order).await?;
    if case == "list" {
        let query = ListBatchesQuery { limit: Some(100), ..Default::default() };
        let listed = client.batches().query(&query)?.list().await?;
        assert!(listed.data.iter().any(|b| b.id == batch.id));
    }
    if case == "cancel" {
        reach(&client, &batch.id, BatchStatus::InProgress).await?;
        client.batches().cancel(&batch.id).await?;
        reach(&client, &batch.id, BatchStatus::Cancelled).await?;
        return Ok(());
    }
    let batch = reach(&client, &batch.id, BatchStatus::Completed).await?;
    let failing = case == "failing";
    let (id, other) = if failing { (batch.error_file_id, batch.output_file_id) } else { (batch.output_file_id, batch.error_file_id) };
    assert!(other.is_none());
    let content = client.files().content(&id.ok_or("no file")?).await?;
    let rows: Vec<Value> = std::str::from_utf8(&content)?.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    assert_eq!(rows.iter().map(|r| r["custom_id"].as_str().unwrap_or("")).collect::<Vec<_>>(), ids);
    for row in rows {
        let body = &row["response"]["body"];
        let told = if failing { &body["error"]["message"] } else { &body["choices"][0]["message"]["content"] };
        assert!(told.as_str().is_some_and(|text| !text.is_empty()), "{row}");
    }
    Ok(())
}

/// Waits until a batch has a status.
async fn reach(client: &Client<OpenAIConfig>, id: &str, status: BatchStatus) -> Result<Batch> {
    use BatchStatus::{Cancelled, Completed, Expired, Failed};
    loop {
        let batch = client.batches().retrieve(id).await?;
        if batch.status == status {
            return Ok(batch);
        }
        assert!(![Failed, Completed, Expired, Cancelled].contains(&batch.status), "it is {:?}", batch.status);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
