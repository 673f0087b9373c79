#!/bin/sh
# A handler in shell: each event is one line of JSON on stdout, marked with "gs":1.
cat > /dev/null # the task; this handler needs nothing of it

for step in 1 2 3 4; do
    sleep 0.7 # the real work would be here
    printf '{"gs":1,"type":"progress","progress":%d,"progress_message":"chapter %d of 4"}\n' $((step * 25)) "$step"
done

echo "any other line is log text"
printf '{"gs":1,"type":"result","result":{"chapters":4}}\n'
