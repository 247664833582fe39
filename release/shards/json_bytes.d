release/shards/json_bytes.o: shards/json_bytes.c shards/json_bytes.h \
  common/base/err.h common/base/json.h common/base/hash.h \
  common/base/mem.h

shards/json_bytes.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:
