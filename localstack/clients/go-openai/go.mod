module github.com/musketry/musketry/localstack/clients/go-openai

go 1.26

require github.com/sashabaranov/go-openai v1.43.0
