release/shards/guard.o: shards/guard.c shards/guard.h common/base/err.h \
  common/base/json.h common/base/hash.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  common/base/mem.h common/image/phash.h common/image/image.h \
  shards/near_hashes.h shards/pending.h shards/known.h \
  shards/near_index.h

shards/guard.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/mem.h:

common/image/phash.h:

common/image/image.h:

shards/near_hashes.h:

shards/pending.h:

shards/known.h:

shards/near_index.h:
