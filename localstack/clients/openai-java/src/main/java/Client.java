import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.models.batches.Batch;
import com.openai.models.batches.BatchCreateParams;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FilePurpose;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Runs a batch with openai-java. Arguments: the case and the model. */
public final class Client {
    private static final Set<String> ENDED = Set.of("completed", "failed", "expired", "cancelled");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static OpenAIClient client;

    public static void main(String[] args) throws Exception {
        String kind = args[0];
        client = OpenAIOkHttpClient.fromEnv(); // Reads OPENAI_BASE_URL and OPENAI_API_KEY.
        List<String> ids = List.of("id-0", "id-1", "id-2");
        StringBuilder lines = new StringBuilder();
        for (String id : ids) {
            var row = JSON.createObjectNode().put("custom_id", id).put("method", "POST").put("url", "/v1/chat/completions");
            row.putObject("body").put("model", args[1]).putArray("messages").addObject()
                .put("role", "user").put("content", "Say something about " + id + ".");
            lines.append(row).append('\n');
        }
        Path data = Files.writeString(Path.of("requests.jsonl"), lines);
        var file = client.files().create(FileCreateParams.builder().file(data).purpose(FilePurpose.BATCH).build());
        Batch batch = client.batches().create(BatchCreateParams.builder().inputFileId(file.id())
            .endpoint(BatchCreateParams.Endpoint.V1_CHAT_COMPLETIONS)
            .completionWindow(BatchCreateParams.CompletionWindow._24H).build());
        if (kind.equals("list")) {
            String made = batch.id();
            check(client.batches().list().autoPager().stream().limit(200).anyMatch(b -> b.id().equals(made)), "is not listed");
        }
        if (kind.equals("cancel")) {
            reach(batch.id(), "in_progress");
            client.batches().cancel(batch.id());
            reach(batch.id(), "cancelled");
            return;
        }
        batch = reach(batch.id(), "completed");
        boolean failing = kind.equals("failing");
        check(batch.outputFileId().isPresent() != failing && batch.errorFileId().isPresent() == failing, "files of " + batch);
        List<String> got = new ArrayList<>();
        for (String line : content((failing ? batch.errorFileId() : batch.outputFileId()).get()).split("\n")) {
            JsonNode row = JSON.readTree(line);
            JsonNode body = row.at("/response/body");
            String told = failing ? body.at("/error/message").asText() : body.at("/choices/0/message/content").asText();
            check(!told.isEmpty(), line);
            got.add(row.get("custom_id").asText());
        }
        check(got.equals(ids), got.toString());
    }

    private static String content(String file) throws Exception {
        try (var response = client.files().content(file); var text = new ByteArrayOutputStream()) {
            response.body().transferTo(text);
            return text.toString(StandardCharsets.UTF_8);
        }
    }

    private static Batch reach(String id, String status) throws Exception {
        Instant until = Instant.now().plus(Duration.ofMinutes(5));
        while (true) {
            Batch batch = client.batches().retrieve(id);
            if (batch.status().asString().equals(status)) {
                return batch;
            }
            check(!ENDED.contains(batch.status().asString()) && Instant.now().isBefore(until), "it is " + batch.status());
            Thread.sleep(500);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }
}
