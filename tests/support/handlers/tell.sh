#!/bin/sh
# A handler that tells what it was given: its environment and its open descriptors. It leaves an orphan behind.
(setsid sleep 0.1 &)
environment=$(env | sed 's/.*/,"&"/')
descriptors=$(cd /proc/$$/fd && echo 0* 1* 2* 3* | sed 's/ /,/g')
echo '{"gs":1,"type":"result","result":{"environment":[""'$environment'],"descriptors":['$descriptors']}}' >>"$GRIDSIDECAR_EVENTS"
