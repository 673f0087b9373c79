#!/bin/sh
# A handler that fails at its first attempt. Exit code 75 asks for a retry, 65 forbids one, 0 is success.
cat > /dev/null
sleep 0.5

if [ "$GRIDSIDECAR_ATTEMPT" -eq 1 ]; then
    echo "the payment service did not answer" >&2
    exit 75
fi
printf '{"gs":1,"type":"result","result":"paid at attempt %d"}\n' "$GRIDSIDECAR_ATTEMPT"
