#!/bin/sh
# A handler that hangs. Its timeout ends it, and whatever it has started.
cat > /dev/null
printf '{"gs":1,"type":"progress","progress":10,"progress_message":"waiting for an answer"}\n'
sleep 3600
