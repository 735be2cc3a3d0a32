package clients

import "slices"

// All are the clients of the page, in its order.
func All() []Client { return slices.Concat(official(), light(), heavy()) }

// Tried are those that have a program: all of them, or the light ones, which are installed soon.
func Tried(all bool) []Client {
	if all {
		return slices.Concat(light(), heavy())
	}
	return light()
}

// official are OpenAI's own that have end-to-end tests.
func official() []Client {
	return []Client{
		{
			Name: "openai", Language: "Python", Package: "openai", Lock: "localstack/e2e/requirements.txt",
			Test: "TestPythonSDK",
		},
		{
			Name: "openai, the last of major 1", Language: "Python", Package: "openai", Lock: "localstack/e2e/requirements-1.txt",
			Test: "TestPythonSDK",
		},
		{
			Name: "openai", Language: "JavaScript", Package: "openai", Lock: "localstack/e2e/node/package-lock.json",
			Test: "TestNodeSDK",
		},
		{
			Name: "openai, for Node below 22", Language: "JavaScript", Package: "openai-6", Lock: "localstack/e2e/node/package-lock.json",
			Test: "TestNodeSDK",
		},
		{
			Name: "openai-go", Language: "Go", Package: "github.com/openai/openai-go/v3", Lock: "go.mod", Test: "TestGoSDK",
		},
		{
			Name: "openai-go, the last of major 1", Language: "Go", Package: "github.com/openai/openai-go", Lock: "go.mod",
			Test: "TestGoSDK",
		},
	}
}

// light are those that make test runs too.
func light() []Client {
	return []Client{
		{
			Name: "go-openai", Language: "Go", Package: "github.com/sashabaranov/go-openai", Lock: "localstack/clients/go-openai/go.mod",
			Folder: "go-openai",
		},
		{
			Name: "Vercel AI SDK", Language: "JavaScript", Package: "ai", Lock: "localstack/clients/vercel/package-lock.json",
			Folder: "vercel",
		},
		{
			Name: "openai-batch", Language: "Python", Package: "openai-batch", Lock: "localstack/clients/openai-batch/requirements.txt",
			Folder: "openai-batch",
			Note: "Below openai 3, since it imports httpx and does not ask for it; and with a file of one's own, since what " +
				"`add_to_batch` writes is closed before it is read (`openai_batch/batch.py:290`).",
			Not: []Gap{{Case: Cancel, Why: "it has no such method."}, {Case: List, Why: "it has no such method."}},
		},
		{
			Name: "autobatcher", Language: "Python", Package: "autobatcher", Lock: "localstack/clients/autobatcher/requirements.txt",
			Folder: "autobatcher",
			Not: []Gap{{
				Case: Failing, Why: "it reads no error file: all that it tells of a request is that the batch has no output file.",
				At: "autobatcher/client.py:1132", Line: "if not output_file_id:", Says: "completed but no output file",
			}},
		},
		{
			Name: "instructor", Language: "Python", Package: "instructor", Lock: "localstack/clients/instructor/requirements.txt",
			Folder: "instructor",
			Not: []Gap{
				{
					Case: Failing, Why: "it reads no error file: where nothing was answered, it tells only how many.",
					At: "instructor/batch/providers/openai.py:106", Line: "raise RuntimeError(", Says: "All 3 batch requests failed",
				},
				{
					Case: List, Why: "a batch without metadata, which OpenAI's type allows, breaks the whole list.",
					At: "instructor/batch/models.py:215", Line: `metadata=batch_data.get("metadata", {}),`, Says: "Input should be a valid dictionary",
				},
			},
		},
	}
}

// heavy are those that take long to install, or need more than make test does.
func heavy() []Client { return slices.Concat(medium(), large()) }

func medium() []Client {
	return []Client{
		{
			Name: "litellm", Language: "Python", Package: "litellm", Lock: "localstack/clients/litellm/requirements.txt",
			Folder: "litellm",
		},
		{
			Name: "any-llm", Language: "Python", Package: "any-llm-sdk", Lock: "localstack/clients/any-llm/requirements.txt",
			Folder: "any-llm",
			Not: []Gap{{
				Case: Failing, Why: "it reads no error file: a batch without answers has no results at all.",
				At: "any_llm/providers/openai/base.py:609", Line: "return BatchResult(results=[])", Says: "results are []",
			}},
		},
		{
			Name: "BatchWizard", Language: "Python", Package: "batchwizard", Lock: "localstack/clients/batchwizard/requirements.txt",
			Folder: "batchwizard",
		},
		{
			Name: "langasync", Language: "Python", Package: "langasync", Lock: "localstack/clients/langasync/requirements.txt",
			Folder: "langasync",
		},
		{
			Name: "openai-java", Language: "Java", Package: "openai-java", Lock: "localstack/clients/openai-java/pom.xml",
			Folder: "openai-java", Note: "Of a `Path`: bytes and streams are sent without a file name, which is refused.",
		},
		{
			Name: "async-openai", Language: "Rust", Package: "async-openai", Lock: "localstack/clients/async-openai/Cargo.lock",
			Folder: "async-openai",
		},
		{
			Name: "AzureOpenAI", Language: "Python", Package: "openai", Lock: "localstack/clients/azure/requirements.txt",
			Folder: "azure",
		},
	}
}

// large are those that bring hundreds of megabytes along.
func large() []Client {
	return []Client{
		{
			Name: "litellm's proxy", Language: "Python", Package: "litellm", Lock: "localstack/clients/litellm-proxy/requirements.txt",
			Folder: "litellm-proxy",
			Note:   "With the openai SDK before it. Newer ones ask for packages that the registry did not have.",
		},
		{
			Name: "inspect_ai", Language: "Python", Package: "inspect-ai", Lock: "localstack/clients/inspect-ai/requirements.txt",
			Folder: "inspect-ai",
			Not: []Gap{
				{
					Case: Failing, Why: "it takes a refusal's body for a completion, whatever its status: the error is one of types.",
					At:   "inspect_ai/model/_providers/_openai_batch.py:149",
					Line: "return request_id, self._response_cls.model_validate(response_body)", Says: "validation errors for ChatCompletion",
				},
				{Case: Cancel, Why: "it has no such method."},
				{Case: List, Why: "it has no such method."},
			},
		},
		{
			Name: "distilabel", Language: "Python", Package: "distilabel", Lock: "localstack/clients/distilabel/requirements.txt",
			Folder: "distilabel",
			Note:   "With requests, which it imports (`distilabel/models/image_generation/openai.py:18`) and does not ask for.",
			Not: []Gap{
				{
					Case: Failing, Why: "it reads no error file, and takes a batch without answers for impossible.",
					At:   "distilabel/models/llms/openai.py:592",
					Line: `assert batch.output_file_id, "No output file ID was found in the batch."`, Says: "No output file ID was found in the batch",
				},
				{Case: Cancel, Why: "it has no such method."},
				{Case: List, Why: "it has no such method."},
			},
		},
		{
			Name: "curator", Language: "Python", Package: "bespokelabs-curator", Lock: "localstack/clients/curator/requirements.txt",
			Folder: "curator",
			Not: []Gap{
				{
					Case: Failing, Why: "it fetches the error file and does nothing with it: all failed, with \"the first 0 errors\".",
					At:   "bespokelabs/curator/request_processor/batch/openai_batch_request_processor.py:401",
					Line: "error_file_content = await self.client.files.content(openai_batch.error_file_id)  # noqa: F841",
					Says: "All requests failed. Sample of the first 0 errors encountered",
				},
				{Case: Cancel, Why: "only a second process can, and it asks at a terminal."},
				{Case: List, Why: "it has no such method."},
			},
		},
	}
}
