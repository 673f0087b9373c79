module example

go 1.19

require github.com/gridsidecar/gridsidecar/sdks/go v0.2.0

replace github.com/gridsidecar/gridsidecar/sdks/go => ../../sdks/go
