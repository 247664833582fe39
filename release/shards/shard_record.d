release/shards/shard_record.o: shards/shard_record.c \
  shards/shard_record.h common/base/err.h common/base/hash.h

shards/shard_record.h:

common/base/err.h:

common/base/hash.h:
