release/shards/quarantine.o: shards/quarantine.c shards/quarantine.h \
  common/base/err.h common/base/hash.h common/base/fs.h \
  common/base/mem.h shards/json_bytes.h common/base/json.h

shards/quarantine.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/mem.h:

shards/json_bytes.h:

common/base/json.h:
