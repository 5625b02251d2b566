#!/bin/sh
# The entry of Lambda's images: the handler's name is the argument. thawd itself starts the runtime without it.
if [ $# -ne 1 ]; then
    echo "entrypoint requires the handler name to be the first argument" 1>&2
    exit 142
fi
export _HANDLER="$1"
exec /var/runtime/bootstrap
