module github.com/musketry/musketry

go 1.26
