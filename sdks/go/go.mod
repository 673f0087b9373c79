module github.com/gridsidecar/gridsidecar/sdks/go

go 1.19
