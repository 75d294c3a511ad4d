#!/bin/sh
# Pub/sub across nodes, and keyspace events beside redis-server's.  pubsub.sh BIN_DIR [MESSAGES]
exec python3 "$(dirname "$0")/pubsub.py" "$@"
