release/shards/guard_claim.o: shards/guard_claim.c common/base/fs.h \
  common/base/err.h common/base/mem.h shards/guard.h common/base/json.h \
  common/base/hash.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/json_bytes.h

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

shards/guard.h:

common/base/json.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/json_bytes.h:
